"""What a cost card promises is at least what a run takes, where prompts are read anew, too."""

import pytest

from tests.labs import shipped_lab
from tokenarium.backend import DecodeEstimate, DecodeRequest, DecodeResult, Lab, StrategySpec
from tokenarium.ui.components.decode_card import decode_card

PROMPT = "Once upon a time there was a little girl who liked to walk in the woods. " * 4
SPECS = (
    StrategySpec("magic_words", words=2, iterations=3, pool=4, swaps=4, rank=900),
    StrategySpec("activation_attack", targets=2, steps=6),
)


@pytest.fixture(scope="module")
def lab() -> Lab:
    return shipped_lab()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.slug)
def test_gradients_read_the_prompt_anew_and_the_card_says_so(lab: Lab, spec: StrategySpec) -> None:
    asked = DecodeRequest(
        model="bundled/draft", text=PROMPT, strategies=[spec], begin=(5, 6), max_new_tokens=8
    )
    cost = lab.estimate(asked)
    assert isinstance(cost, DecodeEstimate)
    result = lab.run(asked).result
    assert isinstance(result, DecodeResult)
    lane, own = result.lanes[1], cost.lanes[1]
    assert lane.passes <= own.passes
    assert lane.token_steps <= own.token_steps
    without = own.token_steps - own.rereads * (len(result.prompt_ids) + 2)
    assert lane.token_steps > without, "else the prompts would not show"
    assert f"the prompt {own.rereads} times anew" in decode_card(cost)
    assert "anew" not in decode_card(
        lab.estimate(asked.model_copy(update={"strategies": (StrategySpec("greedy"),)}))  # type: ignore[arg-type]
    )
