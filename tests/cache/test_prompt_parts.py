"""A prompt read in parts: against full matrices, the full cache, and by hand."""

from itertools import islice, pairwise

import pytest
import torch

from tests.cache.asking import ask, run
from tests.cache.policies.selecting import expected
from tests.cache.policies.test_hip import searched
from tests.cache.policies.test_infllm import SETTINGS as BLOCKS
from tests.cache.policies.test_infllm import looked_up
from tests.cache.policies.test_snapkv import shared
from tests.cache.policies.test_token_select import voted
from tests.cache.policies.twin import PROMPT, TOKENS, Twin, kept_live, mean_of_group
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policies.h2o import H2O
from tokenarium.backend.cache.policies.hip import HiP
from tokenarium.backend.cache.policies.infllm import InfLLM
from tokenarium.backend.cache.policies.snapkv import SnapKV
from tokenarium.backend.cache.policies.token_select import TokenSelect
from tokenarium.backend.cache.policies.tova import TOVA
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.prompt_parts import lengths_of_parts
from tokenarium.backend.cache.request import PolicySpec
from tokenarium.backend.runs.request import stored_form

ONCE = {"lm_infinite", "minicache", "mpcache", "prompt_distill", "spatten", "squeezed"}
ONCE |= {"token_merge"}
ALL = [kind for kind in Policy.registry.all() if kind.__module__.startswith("tokenarium.backend.")]


def probabilities_of(loaded, policy, budget, chunk, steps=4):
    """Probabilities [1 + steps, V] after the prompt and after each of the steps."""
    sequence = CachedSequence(loaded, policy, budget, prompt_chunk=chunk)
    found = [sequence.read(TOKENS[:PROMPT])]
    found += [sequence.read([token]) for token in TOKENS[PROMPT : PROMPT + steps]]
    assert (sequence.step, sequence.prompt) == (steps, PROMPT)
    return torch.stack(found).double().softmax(-1), sequence


def test_parts_are_as_long_as_asked_but_the_last():
    assert [lengths_of_parts(10, chunk) for chunk in (None, 10, 4, 5, 1)] == [
        [10], [10], [4, 4, 2], [5, 5], [1] * 10,
    ]  # fmt: skip


@pytest.mark.parametrize("policy", [H2O(), SnapKV(), TokenSelect(), InfLLM()])
def test_a_part_as_long_as_the_prompt_changes_nothing(twins, policy):
    loaded, _ = twins("llama")
    whole, _ = probabilities_of(loaded, policy, 12, None)
    for chunk in (PROMPT, 99):
        assert torch.equal(probabilities_of(loaded, policy, 12, chunk)[0], whole)
    assert not torch.equal(probabilities_of(loaded, policy, 12, 5)[0], whole)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.slug)
def test_where_everything_is_kept_parts_are_the_full_cache(twins, kind):
    loaded, _ = twins("llama")
    policy = kind(positions="original")
    if kind.slug in ONCE:
        with pytest.raises(ValueError, match="prompt_chunk=7 reads the prompt's 24 tokens in part"):
            probabilities_of(loaded, policy, 64, 7)
        return
    whole, _ = probabilities_of(loaded, Full() if policy.label != "quantise" else policy, 64, None)
    for chunk in (1, 7, 23):
        if policy.label != "reshape":  # its channels are those that the last part's queries use
            found, _ = probabilities_of(loaded, policy, 64, chunk)
            torch.testing.assert_close(found, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", ["gemma2", "mistral", "gpt_oss", "gpt2"])
def test_a_full_cache_in_parts_is_the_whole_prompt(twins, family):
    loaded, _ = twins(family)
    whole, _ = probabilities_of(loaded, Full(), 1, None)
    for chunk in (1, 7):
        found, _ = probabilities_of(loaded, Full(), 1, chunk)
        torch.testing.assert_close(found, whole, rtol=0, atol=1e-6)


def reads_live(loaded, policy, budget, chunk, turns):
    """What every part and step after the first read, and the log-probabilities [N, V]."""
    sequence = CachedSequence(loaded, policy, budget, prompt_chunk=chunk)
    read, own = [], sequence._read_together

    def noted(ids):
        states = own(ids)
        of_step = [sequence.selected.get(layer) for layer in range(len(loaded.layers))]
        read.append([each and [rows.tolist() for rows in each.positions] for each in of_step])
        return states

    sequence._read_together = noted
    log_p = [sequence.read_each(TOKENS[:PROMPT])]
    places = [PROMPT, *[PROMPT + sum(turns[: n + 1]) for n in range(len(turns))]]
    log_p += [sequence.read_each(TOKENS[start:stop]) for start, stop in pairwise(places)]
    assert {count for held in sequence.layers for count in held.entries.counts} == {places[-1]}
    return read[1:], torch.cat(log_p).double().log_softmax(-1)


@pytest.mark.parametrize(
    ("policy", "budget", "rule", "whole"),
    [
        (TokenSelect(first=2, newest=3), 9, voted(9, 2, 3, 1.0), False),
        (
            InfLLM(positions="original", **BLOCKS),
            18,
            looked_up(18, 4, 2, 5, 2, 8**-0.5),
            True,
        ),
        (
            HiP(block=2, first=1, newest=3, dense=1),
            14,
            searched(14, block=2, first=1, newest=3, dense=1),
            False,
        ),
    ],
    ids=["token_select", "infllm", "hip"],
)
@pytest.mark.parametrize("chunk", [3, 10])
def test_later_parts_read_what_the_policy_selects(twins, policy, budget, rule, whole, chunk):
    loaded, model = twins("llama")
    steps = (1, 1, 3)
    turns = (*lengths_of_parts(PROMPT, chunk), *steps)
    found = reads_live(loaded, policy, budget, chunk, steps)
    twin = expected(model, rule, whole=whole, turns=turns)
    assert found[0] == twin[0]
    torch.testing.assert_close(found[1], twin[1], rtol=1e-4, atol=1e-4)
    in_prompt = found[0][: len(turns) - len(steps) - 1]
    assert any(layer is not None for part in in_prompt for layer in part)


def window_votes(window, kernel):
    """What the last queries of a part give the entries before them, shared with neighbours held."""

    def score(layer, weights, visible):
        votes = weights[:, -window:].double().sum(1)
        grouped = mean_of_group(votes, 2)
        found = torch.zeros_like(grouped)
        for g, seen in enumerate(visible[:, -1]):
            held = seen.nonzero()[:, 0][:-window]
            found[g, held] = shared(grouped[g, held], kernel, "mean")
        return found

    return score


@pytest.mark.parametrize("chunk", [5, 8])
@pytest.mark.parametrize(
    ("policy", "settings"),
    [
        (
            H2O(recent_share=0.25),
            {"score": lambda _, weights, seen: mean_of_group(weights.sum(1), 2), "newest": 2},
        ),
        (TOVA(), {"score": lambda _, weights, seen: weights[:, -1].mean(0).expand(2, -1)}),
        (
            SnapKV(window=2, kernel=3),
            {"score": window_votes(2, 3), "newest": 2, "every": 1000},
        ),
    ],
    ids=["h2o", "tova", "snapkv"],
)
def test_what_a_part_drops_no_later_part_sees(twins, policy, settings, chunk):
    loaded, model = twins("llama")
    ends = [sum(lengths_of_parts(PROMPT, chunk)[: n + 1]) for n in range(-(-PROMPT // chunk))]
    twin = list(islice(Twin(model, 8, **settings).run(parts=ends[:-1]), len(ends) + 4))
    live = list(islice(kept_live(loaded, policy, 8, prompt_chunk=chunk), 5))
    assert live == twin[len(ends) - 1 :]
    assert live[0] != next(kept_live(loaded, policy, 8)), "a prompt read whole keeps others"


def test_the_most_that_is_held_is_a_part_above_the_budget(twins):
    loaded, _ = twins("llama")
    _, parts = probabilities_of(loaded, H2O(), 8, 8, steps=0)
    _, whole = probabilities_of(loaded, H2O(), 8, None, steps=0)
    row = 2 * 8 * 4 + 4 + 4  # key, value, position, mass
    # A head is laid out for 8 entries and 8 more, which a part of 8 fills.
    assert parts.most_bytes == parts.cache_bytes == 3 * 2 * 16 * row
    assert whole.parts == 1
    assert whole.layers[0].entries.counts == [8, 8]


def test_parts_are_one_turn_and_as_surprising(twins):
    loaded, _ = twins("llama")
    sirllm = Policy.registry.find("sirllm")()
    _, parts = probabilities_of(loaded, sirllm, 64, 7)
    _, whole = probabilities_of(loaded, sirllm, 64, None)
    assert parts.surprisal.turns == whole.surprisal.turns == [0]
    torch.testing.assert_close(
        parts.surprisal.values, whole.surprisal.values, rtol=0, atol=1e-5, equal_nan=True
    )


def test_a_run_says_it_and_a_request_without_it_has_its_old_key(twins, letters):
    loaded, _ = twins("llama")
    request = ask(letters(60), policies=["full", "h2o", "token_select"], prompt_chunk=25)
    plain = ask(letters(60), policies=["full", "h2o", "token_select"])
    assert request.key("m") != plain.key("m")
    assert "prompt_chunk" not in stored_form(plain)
    assert stored_form(request)["prompt_chunk"] == 25
    result = run(loaded, request)
    said = "the prompt was read in 3 parts of at most 25 tokens, and the cache held at most"
    assert all(any(note.startswith(said) for note in notes) for notes in result.notes)
    assert result.kl_nats[0].max() < 1e-6, "a full cache loses nothing by parts"
    assert result.kl_nats[1, 0] > 1e-6, "the prompt's end did not see what was dropped"
    assert result.selected_at[:, 1].min() == 0, "what the last part read is told"
    assert result.noise_at.size == 0
    with pytest.raises(ValueError, match="SpAtten lets only some of a whole prompt's tokens"):
        run(loaded, ask(letters(60), policies=["spatten"], prompt_chunk=25))
    with pytest.raises(ValueError, match="Squeezed Attention puts the keys of a whole prompt"):
        run(loaded, ask(letters(60), policies=[PolicySpec("squeezed")], prompt_chunk=59))
