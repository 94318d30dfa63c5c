"""The readable speculative decoding of docs/ is the engine's twin: same numbers, same tokens."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import BUNDLED_FOLDER, ModelSource
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.drafters.draft_chain import DraftChain
from tokenarium.backend.speculation.engine import Round, Speculator
from tokenarium.backend.speculation.rules.speculative_sampling import SpeculativeSampling
from tokenarium.docs.speculative_decoding import speculative_decode

NEW = 24


def engine(
    target: LoadedModel, draft: LoadedModel, ids: list[int], draft_len: int, seed: int
) -> tuple[list[int], list[Round]]:
    """The engine's tokens, and its rounds."""
    speculator = Speculator.of_models(
        target, draft, DraftChain(), SpeculativeSampling(), Processors(1.0), ids,
        draft_len=draft_len, tree_budget=draft_len, max_new_tokens=NEW, seed=seed,
    )  # fmt: skip
    speculator.begin()
    rounds: list[Round] = []
    while (left := NEW + len(ids) - len(speculator.state.ids)) > 0:
        rounds.append(speculator.round(left))
    return speculator.state.ids, rounds


def numbers_used(rounds: list[Round], seed: int) -> Iterator[float]:
    """The engine's random numbers, in the order in which the readable one asks for its own."""
    drafting = np.random.default_rng([seed, 1])
    for round_ in rounds:
        path = round_.verification.path
        yield from drafting.random(len(round_.tree) - 1)
        yield from round_.accept_uniforms[1 : len(path) + (len(path) < len(round_.tree))]
        yield round_.next_uniforms[path[-1]]


def same(target: LoadedModel, draft: LoadedModel, draft_len: int, seed: int) -> list[int]:
    """Assert that both write the same; return how many drafted tokens each round accepted."""
    prompt = [0, 40, 41, 42, 40, 41, 43]
    expected, rounds = engine(target, draft, prompt, draft_len, seed)
    numbers = numbers_used(rounds, seed)
    found = speculative_decode(
        target.model,
        draft.model,
        torch.tensor(prompt),
        NEW,
        draft_len,
        lambda: float(next(numbers)),
    )
    assert found.tolist() == expected
    assert next(numbers, None) is None, "numbers are left over"
    return [len(round_.verification.path) - 1 for round_ in rounds]


@pytest.mark.parametrize(("draft_len", "seed"), [(1, 0), (3, 1), (6, 2)])
def test_same_numbers_give_the_same_tokens(
    target: LoadedModel, draft: LoadedModel, draft_len: int, seed: int
) -> None:
    accepted = same(target, draft, draft_len, seed)
    assert 0 in accepted or draft_len in accepted


def test_a_trained_pair_too_accepts_some_and_rejects_some() -> None:
    folders = [BUNDLED_FOLDER / name for name in ("target", "draft")]
    ours = [load(ModelSource(f.name, f, None, f.name), "float32", "cpu", 128) for f in folders]
    accepted = [count for seed in range(3) for count in same(ours[0], ours[1], 4, seed)]
    assert {0, 4} <= set(accepted)


def test_it_takes_models_as_transformers_loads_them() -> None:
    model = AutoModelForCausalLM.from_pretrained(BUNDLED_FOLDER / "draft")
    torch.manual_seed(0)
    found = speculative_decode(
        model, model, torch.tensor([1, 40, 41]), 6, 3, lambda: float(torch.rand(()))
    )
    assert found.shape == (9,)
