"""A drafter inside a decoding run: the text stays, token for token, and passes are saved."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.contracts.test_strategies import TEXT, models  # noqa: F401
from tests.decoding.table import TableReader, lane_of, random_table
from tests.speculation.heads import every_model_has_a_head  # noqa: F401
from tests.speculation.test_vocabulary import changed
from tokenarium.backend.decoding.drafted_stepper import DraftedStepper
from tokenarium.backend.decoding.request import DecodeRequest, StrategySpec
from tokenarium.backend.decoding.result import DecodeResult
from tokenarium.backend.decoding.runner import decode
from tokenarium.backend.decoding.stepper import Counters
from tokenarium.backend.decoding.strategies.greedy import Greedy
from tokenarium.backend.decoding.strategy import Strategy
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.draft_state import DraftState
from tokenarium.backend.speculation.drafter import Drafter

ABLE = [
    kind
    for kind in Strategy.registry.all()
    if not (kind.branches or kind.watches or kind.embeds or kind().small)
    and kind.__module__.startswith("tokenarium.backend.")
]
UNTRAINED = [
    kind.slug
    for kind in Drafter.registry.all()
    if kind.source != "target_states" and kind.__module__.startswith("tokenarium.backend.")
]
Models = Callable[[str], LoadedModel]


def drafted(loaded: LoadedModel, strategy: Any, drafter: Any, **more: Any) -> DecodeResult:
    named = {"draft_model": "other", "max_new_tokens": 9, "text": TEXT, **more}
    request = DecodeRequest(model="local/tiny", strategies=[strategy], drafter=drafter, **named)
    return decode(request, loaded, 100, lambda _: None, CancelToken(), {"other": loaded})


def same(result: DecodeResult) -> None:
    """Check that the lane with a drafter is the one without, in fewer passes or as many."""
    plain, other = result.lanes
    assert other.token_ids.tolist() == plain.token_ids.tolist()
    for name in ("probability", "entropy_nats", "varentropy_nats2"):
        np.testing.assert_allclose(other.tokens[name], plain.tokens[name], atol=1e-5, rtol=1e-4)
    guessed = result.read_ahead[len(plain.token_ids) :]  # type: ignore[index]
    assert not result.read_ahead[: len(plain.token_ids)].any()  # type: ignore[index]
    assert other.passes == plain.passes - guessed.sum()
    assert other.token_steps >= other.passes


@pytest.mark.parametrize("drafter", UNTRAINED)
def test_every_drafter_leaves_greedy_text_and_sampled_text_as_they_are(
    drafter: str,
    models: Models,  # noqa: F811
) -> None:
    same(drafted(models("llama"), "greedy", drafter))
    same(drafted(models("llama"), StrategySpec("sampling", temperature=0.6, top_p=0.9), drafter))


@pytest.mark.parametrize("drafter", ["feature_head", "eagle3", "mtp", "dflash", "kangaroo"])
def test_a_head_leaves_the_text_as_it_is(
    drafter: str,
    models: Models,  # noqa: F811
) -> None:
    same(drafted(models("llama"), "greedy", drafter, draft_len=6))


@pytest.mark.parametrize("strategy", ABLE, ids=lambda strategy: strategy.slug)
def test_every_strategy_that_only_reads_on_writes_the_same_with_a_drafter(
    strategy: type[Strategy],
    models: Models,  # noqa: F811
) -> None:
    result = drafted(models("llama"), strategy.slug, "topk_tree", max_new_tokens=8)
    alone = drafted(models("llama"), strategy.slug, None, max_new_tokens=8).lanes[-1]
    assert result.lanes[-1].token_ids.tolist() == alone.token_ids.tolist()
    for name in ("action", "token", "step", "rank"):
        np.testing.assert_array_equal(result.lanes[-1].journal[name], alone.journal[name])


@pytest.mark.parametrize(
    ("family", "drafter"), [("gemma3_text", "iid_tree"), ("bloom", "draft_chain")]
)
def test_it_is_the_same_in_models_that_read_trees_and_chains(
    family: str,
    drafter: str,
    models: Models,  # noqa: F811
) -> None:
    same(drafted(models(family), "greedy", drafter))


@pytest.mark.parametrize("draft_len", [1, 3, 4])
def test_a_draft_model_that_is_the_model_itself_guesses_everything(
    draft_len: int,
    models: Models,  # noqa: F811
) -> None:
    result = drafted(models("llama"), "greedy", "draft_chain", draft_len=draft_len)
    same(result)
    plain, other = result.lanes
    assert plain.passes == 8  # the last token is not read
    assert other.passes == -(-8 // (draft_len + 1))
    assert other.small_passes == 8 - other.passes


def test_what_a_pass_reads_is_a_token_and_its_guesses_by_hand() -> None:
    """The text goes round: 0 1 2 0 1 2 ..., so that a copy of what came before is right."""
    table = torch.zeros(3, 3, 3)
    for token in range(3):
        table[:, token, (token + 1) % 3] = 5.0
    reader = TableReader(table)
    lane = lane_of(Greedy(), TableReader(table), most=8)

    def state(prompt: list[int], draft_len: int) -> DraftState:
        return DraftState(prompt, 3, draft_len, 8, Processors(), np.random.default_rng(0))

    drafter = Drafter.registry.find("prompt_lookup")()
    lane.stepper = DraftedStepper(reader, lambda found: found, drafter, state, 3, 8, Counters())
    lane.stepper.begin([0, 1, 2, 0, 1])
    lane._counted, lane._now = lane.stepper.counters, None
    Greedy().decode(lane)
    assert lane.new == [2, 0, 1, 2, 0, 1, 2, 0]
    # [2 | 0 1 2] [0 | 1 2] and the last one is not read
    assert (reader.passes, reader.token_steps) == (1 + 2, 5 + 7)
    assert lane.spent_in_all == (2, 7)
    assert lane.stepper.guessed == {1, 2, 3, 5, 6}
    assert reader.ids == [0, 1, 2, 0, 1, 2, 0, 1, 2]  # what was guessed last is not settled


def test_given_tokens_are_read_before_anything_is_guessed(models: Models) -> None:  # noqa: F811
    result = drafted(models("llama"), "greedy", "draft_chain", begin=(5, 6, 7), max_new_tokens=9)
    plain, other = result.lanes
    assert other.token_ids.tolist() == plain.token_ids.tolist()
    assert plain.token_ids[:3].tolist() == [5, 6, 7]
    assert other.passes < plain.passes
    short = drafted(models("llama"), "greedy", "draft_chain", begin=(5, 6, 7), max_new_tokens=2)
    assert [lane.token_ids.tolist() for lane in short.lanes] == [[5, 6], [5, 6]]


def test_a_random_table_is_written_alike_by_every_seed() -> None:
    for seed in range(5):
        texts = []
        for drafter in (None, "prompt_lookup"):
            strategy = Strategy.registry.find("sampling")(temperature=0.3)
            lane = lane_of(strategy, TableReader(random_table(4, seed)), most=20, seed=seed)
            if drafter:
                lane.stepper = DraftedStepper(
                    TableReader(random_table(4, seed)), lambda found: found,
                    Drafter.registry.find(drafter)(),
                    lambda prompt, most: DraftState(
                        prompt, 4, most, 8, Processors(0.3), np.random.default_rng(0)
                    ),
                    4, 20, Counters(),
                )  # fmt: skip
                lane.stepper.begin([0, 1])
                lane._now = None
            strategy.decode(lane)
            texts.append(lane.new)
        assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"strategies": ["beam"]}, "'beam' tries tokens itself and goes back.*greedy"),
        ({"strategies": ["layer_contrast"]}, "looks at layers"),
        ({"strategies": ["soft_tokens"]}, "mixtures"),
        ({"strategies": ["r2r"]}, "second model"),
        ({"policy": "snapkv"}, "and policy are given"),
        ({"interventions": ["swap_first"]}, "and interventions are given"),
        ({"strategies": ["greedy"] * 4}, "at most 3"),
    ],
)
def test_what_nothing_can_be_guessed_for_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DecodeRequest(model="local/tiny", text="a", drafter="prompt_lookup", **fields)


def test_a_draft_model_of_other_tokens_is_refused(models: Models) -> None:  # noqa: F811
    request = DecodeRequest(model="local/tiny", text="a", drafter="draft_chain", draft_model="x")
    assert request.beside == ("x",)
    assert request.methods["drafter"] == ("draft_chain",)
    other = replace(models("llama"), name="x", tokenizer=changed(without=3))
    with pytest.raises(ValueError, match=r"draft_model='x'.* do not have the same tokens"):
        decode(request, models("llama"), 100, lambda _: None, CancelToken(), {"x": other})
