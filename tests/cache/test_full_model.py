"""What the full model finds missing, against transformers' eager attention matrices."""

from decimal import Decimal, localcontext
from itertools import product

import numpy as np
import pytest
import torch

from tokenarium.backend.cache.full_model import FullModelReference, divergence
from tokenarium.backend.cache.policy_run import PolicyRun
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.runs.events import CancelToken


def test_divergence_is_the_definition_by_hand() -> None:
    full = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]))
    policy = torch.log(torch.tensor([[0.25, 0.5, 0.25], [0.2, 0.2, 0.6]]))
    found = divergence(full + 3.0, policy - 1.0, [1, 2])
    expected = 0.5 * np.log(2) + 0.25 * np.log(0.5)
    np.testing.assert_allclose(found["kl_nats"], [expected, 0], atol=1e-6)
    np.testing.assert_array_equal(found["top1_agree"], [0, 1])
    np.testing.assert_allclose(found["surprisal_nats"], -np.log([0.5, 0.6]), rtol=1e-5)
    np.testing.assert_allclose(found["full_surprisal_nats"], -np.log([0.25, 0.6]), rtol=1e-5)


def test_kl_is_not_taken_the_other_way_round() -> None:
    full, policy = torch.log(torch.tensor([[[0.9, 0.1]], [[0.5, 0.5]]]))
    expected = 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)
    assert divergence(full, policy, [0])["kl_nats"][0] == pytest.approx(expected, abs=1e-6)


def exactly(full: torch.Tensor, policy: torch.Tensor) -> float:
    """KL of two rows of logits, to 50 digits from the very same float32 numbers."""
    with localcontext(prec=50):
        p, q = ([Decimal(value).exp() for value in row.tolist()] for row in (full, policy))
        parts = zip(p, q, strict=True)
        return float(sum(a / sum(p) * ((a / sum(p)) / (b / sum(q))).ln() for a, b in parts))


@pytest.mark.parametrize(
    ("apart", "error"), [(1e-4, 5e-3), (1e-3, 5e-4), *((apart, 1e-4) for apart in (0.1, 1, 10, 40))]
)
def test_kl_is_that_of_exact_arithmetic_near_zero_too(apart: float, error: float) -> None:
    """A plain sum in float32 is off by 1e-7 here, and often below zero."""
    draw = torch.Generator().manual_seed(7)
    full = 3 * torch.randn(20, 60, generator=draw)
    policy = full + apart * torch.randn(20, 60, generator=draw)
    found = divergence(full, policy, [0] * 20)["kl_nats"]
    for own, row, other in zip(found, full, policy, strict=True):
        assert own == pytest.approx(exactly(row, other), rel=error)


def test_kl_of_the_same_law_is_zero_and_of_what_is_shut_out_infinite() -> None:
    full = torch.randn(5, 300, generator=torch.Generator().manual_seed(1))
    assert (divergence(full, full, [0] * 5)["kl_nats"] == 0).all()
    moved = divergence(full, full + 17.3, [0] * 5)["kl_nats"]  # the same law, rounded otherwise
    assert (moved >= 0).all()
    assert moved.max() < 1e-9
    shut = full[:1].clone()
    shut[0, 3] = float("-inf")
    assert divergence(shut, full[:1], [0])["kl_nats"] == pytest.approx(exactly_shut(full[0]))
    assert divergence(full[:1], shut, [0])["kl_nats"] == float("inf")


def exactly_shut(row: torch.Tensor) -> float:
    """KL of a law with entry 3 shut out against the whole: minus ln of what it leaves."""
    return -float(torch.log1p(-row.double().softmax(-1)[3]))


@pytest.fixture(scope="module")
def compared(twins, letters):
    """A run under three policies, and each one's full attention [L, H, T, T] over its own text."""
    loaded, oracle = twins("llama")
    request = CacheRequest(
        model="tiny",
        text=letters(50),
        policies=[
            *("h2o", "streaming_llm", "random"),
            *("token_select", PolicySpec("tidal_decode", selecting=0, reselecting=2)),
            PolicySpec("prompt_distill", layer=0, truncate=False),
        ],
        budget=14,
        max_new_tokens=21,
    )
    result = follow_policies(request, loaded, 2048, lambda _: None, CancelToken())
    attentions = []
    for one in result.runs:
        ids = result.prompt_ids.tolist() + one.token_ids.tolist()
        with torch.inference_mode():
            out = oracle(torch.tensor([ids]), output_attentions=True, use_cache=False)
        joined = torch.stack(out.attentions)[:, 0].unflatten(1, (2, 2)).mean(2)
        attentions.append(joined.numpy())  # [L, G, T, T]
    return result, attentions


def read_at(one: PolicyRun, step: int, layer: int, head: int) -> set[int]:
    """What was held when the step began, and the token it brings itself; or what was chosen."""
    chosen = one.selected(step, layer, head)
    if chosen is not None:
        return set(chosen.tolist())
    return {*one.kept(step - 1, layer, head).tolist(), len(one.result.prompt_ids) + step - 1}


def test_attention_lost_is_that_to_what_was_dropped_before_the_step(compared) -> None:
    result, attentions = compared
    prompt = len(result.prompt_ids)
    for one, attention in zip(result.runs, attentions, strict=True):
        assert np.isnan(result.lost_mass[one.number, 0]).all()
        for step in range(1, one.steps):
            query = prompt + step - 1
            for layer in range(3):
                lost, overlap = [], []
                for head in range(2):
                    before = read_at(one, step, layer, head)
                    row = attention[layer, head, query, : query + 1]
                    lost.append(sum(row[p] for p in range(query + 1) if p not in before))
                    best = np.argsort(-row, kind="stable")[: len(before)]
                    overlap.append(len(before & set(best.tolist())) / len(before))
                assert result.lost_mass[one.number, step, layer] == pytest.approx(
                    np.mean(lost), abs=1e-5
                )
                assert result.topk_overlap[one.number, step, layer] == pytest.approx(
                    np.mean(overlap), abs=1e-6
                )


def test_what_was_needed_later_is_the_highest_weight_on_what_was_dropped(compared) -> None:
    result, attentions = compared
    prompt = len(result.prompt_ids)
    for one, attention in zip(result.runs, attentions, strict=True):
        most: dict[tuple[int, ...], tuple[float, int]] = {}
        for step, layer, head in product(range(1, one.steps), range(3), range(2)):
            query = prompt + step - 1
            for position in set(range(query + 1)) - read_at(one, step, layer, head):
                weight = attention[layer, head, query, position]
                if weight > most.get((layer, head, position), (0.0, 0))[0]:
                    most[layer, head, position] = (weight, step)
        expected = sorted(most.items(), key=lambda item: -item[1][0])[:256]
        found = one.needed_later
        assert len(found) == min(256, len(most))
        np.testing.assert_allclose(
            [weight for *_, weight in found], [weight for _, (weight, _) in expected], rtol=1e-3
        )
        for step, layer, head, position, weight in found[:20]:
            told, when = most[layer, head, position]
            assert weight == pytest.approx(told, abs=1e-5)
            assert step == when


def test_what_is_kept_and_not_read_is_lost_for_the_step(compared) -> None:
    """Policies that select hold everything, and layers after a cut never saw what it left out."""
    result, _ = compared
    for number, whole in ((3, ()), (4, (0, 2)), (5, (0,))):
        read_all = [layer in whole for layer in range(3)]
        np.testing.assert_array_equal((result.lost_mass[number, 1:] == 0).all(0), read_all)
        np.testing.assert_array_equal((result.topk_overlap[number, 1:] == 1).all(0), read_all)
        assert (result.lost_mass[number, 1:][:, ~np.asarray(read_all)] > 0.01).all()


def test_going_back_to_the_prompt_forgets_the_rest(twins) -> None:
    loaded, _ = twins("llama")
    oracle = FullModelReference(loaded, list(range(5, 40)), lambda: None, 60)
    nothing = np.full((3, 2, 60), -1, np.int16)
    oracle.begin(nothing)
    first = oracle.read([7, 8, 9])
    oracle.read([10])
    oracle.begin(nothing)
    torch.testing.assert_close(oracle.read([7, 8, 9]), first, rtol=0, atol=0)
    together = first.clone()
    oracle.begin(nothing)
    apart = torch.cat([oracle.read([token]) for token in (7, 8, 9)])
    torch.testing.assert_close(apart, together, rtol=1e-5, atol=1e-5 * float(together.abs().max()))
