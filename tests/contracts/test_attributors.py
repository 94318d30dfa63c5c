"""What every registered attributor must declare, refuse, and find in a model made on purpose."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tokenarium.backend.attribution.methods
from tests.contracts.test_interventions import out_of_bounds
from tests.models.conftest import save_model
from tests.trace.conftest import letters, twins
from tokenarium.backend import Lab
from tokenarium.backend.attribution.attributor import Attribution, Attributor
from tokenarium.backend.attribution.request import AttributeRequest
from tokenarium.backend.attribution.result import AttributeResult
from tokenarium.backend.attribution.runner import attribute
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import Cancelled, CancelToken

__all__ = ["letters", "twins"]

METHODS = [
    kind for kind in Attributor.registry.all() if kind.__module__.startswith("tokenarium.backend.")
]
EVERY = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.slug)
SIGNED = pytest.mark.parametrize(
    "method", [method for method in METHODS if method.signed], ids=lambda method: method.slug
)
SENTENCE = re.compile(r"[A-Z].*\.", re.DOTALL)
NEUTRAL = "cdefghcdefghcdefghcdefgh"
UP, DOWN, TARGET = "A", "B", "T"
FEW = {"steps": 20, "pairs": 2, "probes": 2}
"""Parameters that make sampling quick."""


@pytest.fixture(scope="module")
def signal(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """One head that looks at A and B: A makes T likelier, B less likely, nothing else matters.

    Its layer norms are linear (an epsilon of 10,000), or gradient x input would be zero.
    """
    folder = save_model(
        tmp_path_factory.mktemp("signal"), "gpt2",
        num_hidden_layers=1, num_attention_heads=1, layer_norm_epsilon=1e4,
        tie_word_embeddings=False,
    )  # fmt: skip
    loaded = load(ModelSource("local/signal", folder, None, "signal"), "float32", "cpu", 2048)
    model: Any = loaded.model
    for weights in model.parameters():
        weights.zero_()
    body, up, down, target = model.transformer, ord(UP), ord(DOWN), ord(TARGET)
    ids = {sign: loaded.tokenizer(sign)["input_ids"][-1] for sign in map(chr, (up, down, target))}
    body.wte.weight[:, 8:] = torch.randn(272, 24, generator=torch.Generator().manual_seed(0)) * 0.1
    body.wte.weight[ids[UP], :2] = torch.tensor([4.0, 4.0])
    body.wte.weight[ids[DOWN], :2] = torch.tensor([-4.0, 4.0])
    block = body.h[0]
    for norm in (block.ln_1, block.ln_2, body.ln_f):
        norm.weight.fill_(100.0)
    size = 32
    block.attn.c_attn.bias[0] = 6.0  # every query
    block.attn.c_attn.weight[1, size] = 4.0  # the key of A and B
    block.attn.c_attn.weight[0, 2 * size] = 1.0  # the value of A, and less than nothing of B
    block.attn.c_proj.weight[0, 2] = 1.0
    model.lm_head.weight[ids[TARGET], 2] = 1.0
    return loaded


def ask(method: type[Attributor], text: str, **changes: Any) -> AttributeRequest:
    given = {"unit": "token", "target": -1, **changes}
    return AttributeRequest(model="tiny", text=text + TARGET, method=method.slug, **given)


def run(loaded: LoadedModel, request: AttributeRequest, cancel: Any = None) -> AttributeResult:
    return attribute(request, loaded, 2048, lambda _: None, cancel or CancelToken())


def test_every_file_of_the_family_is_one_method() -> None:
    folder = Path(tokenarium.backend.attribution.methods.__path__[0])
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert {method.__module__.rpartition(".")[2] for method in METHODS} == files
    assert len(METHODS) == len(files) >= 3
    assert [m.slug for m in Lab.methods("attributor")] == [m.slug for m in METHODS]


@EVERY
def test_a_method_says_what_it_does_needs_and_costs(method: type[Attributor]) -> None:
    assert SENTENCE.fullmatch(method.explanation)
    assert method.paper
    assert method.needs in ("passes", "gradients", "attention")
    assert 1 <= method().passes(8, 20) <= method().passes(16, 40) < 20_000
    for name, field in method.model_fields.items():
        assert field.description
        assert SENTENCE.fullmatch(f"A{field.description}"), name


@EVERY
def test_a_method_refuses_what_is_out_of_bounds(method: type[Attributor]) -> None:
    for name, value in out_of_bounds(method):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=name):
            ask(method, "ab", parameters={name: value})
    with pytest.raises(ValueError, match="unknown"):
        ask(method, "ab", parameters={"unknown": 1})


@EVERY
def test_the_token_that_mattered_comes_first_and_the_check_agrees(
    signal: LoadedModel, method: type[Attributor]
) -> None:
    text = NEUTRAL[:13] + UP + NEUTRAL[13:]
    result = run(signal, ask(method, text, top=1))
    assert result.unit_text[int(result.scores[:-1].argmax())] == UP
    assert result.scores.max() > 3 * np.abs(np.delete(result.scores[:-1], 13)).max()
    if method.slug == "rollout":  # half of each layer is the residual: the last token leads
        return
    assert result.verdict == "beats chance"
    assert result.faithfulness.drop > 0.5


@EVERY
def test_turned_scores_do_not_pass_for_a_map(
    signal: LoadedModel, method: type[Attributor], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = method.attribute
    monkeypatch.setattr(
        method, "attribute", lambda asked, game: Attribution(-own(asked, game).scores)
    )
    with pytest.raises(AssertionError):
        test_the_token_that_mattered_comes_first_and_the_check_agrees(signal, method)
    result = run(signal, ask(method, NEUTRAL[:13] + UP + NEUTRAL[13:], top=1))
    assert result.unit_text[int(result.scores[:-1].argmin())] == UP
    assert result.verdict == "does not beat chance"


@SIGNED
def test_the_token_that_made_it_less_likely_comes_last(
    signal: LoadedModel, method: type[Attributor]
) -> None:
    text = NEUTRAL[:5] + UP + NEUTRAL[5:15] + DOWN + NEUTRAL[15:]
    result = run(signal, ask(method, text))
    assert result.unit_text[int(result.scores.argmin())] == DOWN
    assert result.scores[16] < 0 < result.scores[5]


@SIGNED
def test_a_contrast_turns_round_with_its_tokens(
    signal: LoadedModel, method: type[Attributor]
) -> None:
    text = NEUTRAL[:8] + UP + NEUTRAL[8:]
    result = run(signal, ask(method, text, against="U"))
    assert result.against_text == "U"
    request = AttributeRequest(
        model="tiny", text=text + "U", against=TARGET, method=method.slug, unit="token"
    )
    turned = run(signal, request)
    np.testing.assert_allclose(turned.value_nats, -result.value_nats, atol=1e-5)
    assert turned.unit_text[int(turned.scores.argmin())] == UP


@EVERY
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_every_architecture_and_unit_is_scored(
    twins: Any, letters: Any, method: type[Attributor], family: str
) -> None:
    loaded, _ = twins(family)
    text = f"{letters(4)} {letters(5)[1:]}. {letters(3)}"
    few = {name: value for name, value in FEW.items() if name in method.model_fields}
    for unit in ("word", "token", "sentence"):
        result = run(loaded, ask(method, text, unit=unit, parameters=few))
        assert np.isfinite(result.scores).all()
        assert len(result.scores) == len(result.units) == len(result.unit_text)
        assert (np.isfinite(result.low) == np.isfinite(result.high)).all()
        assert "".join(result.unit_text) == text[: len("".join(result.unit_text))]
        assert result.passes > 1
    again = run(loaded, ask(method, text, unit="sentence", parameters=few))
    np.testing.assert_allclose(again.scores, result.scores, atol=1e-6)


@EVERY
def test_a_run_is_cancelled_under_way(signal: LoadedModel, method: type[Attributor]) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        run(signal, ask(method, NEUTRAL), cancel)
