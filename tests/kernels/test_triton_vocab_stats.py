"""The Triton kernel of vocab_stats against the definitions.

On a CPU these run in Triton's interpreter, in the process that ``test_interpreter`` starts; on a
CUDA device they run as they are (``-m gpu``).
"""

import dataclasses
import os

import pytest
import torch

from tokenarium.kernels.vocab_stats import VocabStats, naive, reference

triton = pytest.importorskip(
    "tokenarium.kernels.vocab_stats.triton",
    reason="Triton is not made for this platform",
    exc_type=ImportError,
)

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
pytestmark = [] if INTERPRETED else [pytest.mark.gpu]


def stats(logits, targets=None, top_k=0, varentropy=False, other=None, **options):
    options = {"other_logits": None, "keep_probs": False} | options
    return triton.vocab_stats(logits, targets, top_k, varentropy, other, **options)


def draw(rows, vocabulary, dtype=torch.float32, seed=0):
    random = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, vocabulary, generator=random) * 4).to(DEVICE, dtype)


@pytest.fixture(autouse=True)
def unwritten_is_nan(monkeypatch):
    def filled(shape, dtype, device):
        return torch.full(shape, float("nan") if dtype.is_floating_point else -9, dtype=dtype).to(
            device
        )

    monkeypatch.setattr(triton, "empty", filled)


def close(ours, theirs, tolerance=1e-5):
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("rows", "vocabulary", "top_k"),
    [(1, 5, 5), (7, 97, 10), (3, 4096, 1), (4, 4097, 64), (3, 13001, 65)],
)
@pytest.mark.parametrize("from_logits", [True, False])
def test_triton_vocab_equals_the_definitions(rows, vocabulary, top_k, dtype, from_logits):
    logits, other = (draw(rows, vocabulary, dtype, seed) for seed in (1, 2))
    targets = torch.arange(rows, device=DEVICE) * 37 % vocabulary
    before = reference.vocab_stats(other, None, 0, False, None, keep_probs=True)
    source = {"other_logits": other} if from_logits else {"other": before}
    found = stats(logits, targets, top_k, True, keep_probs=True, **source)
    expected = naive.vocab_stats(logits, targets=targets, top_k=top_k, other=other)
    for field in dataclasses.fields(VocabStats):
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        if theirs.is_floating_point():
            close(ours, theirs)
        else:
            assert torch.equal(ours, theirs), field.name


def test_triton_vocab_breaks_ties_by_id():
    rows = [[0.0] * 6, [1.0, 3.0, 3.0, -2.0, 3.0, 1.0], [-0.0, 0.0, -0.0, -1.0, 0.0, -1.0]]
    targets = torch.tensor([4, 4, 5], device=DEVICE)
    found = stats(torch.tensor(rows, device=DEVICE), targets, 4)
    assert found.rank.tolist() == [4, 2, 5]
    assert found.top_ids.tolist() == [[0, 1, 2, 3], [1, 2, 4, 0], [0, 1, 2, 4]]
    ties = torch.zeros(1, 9000, device=DEVICE)
    ties[0, 5000:] = 1.0
    found = stats(ties, torch.tensor([8999], device=DEVICE), 3)
    assert found.top_ids.tolist() == [[5000, 5001, 5002]]
    assert found.rank.item() == 3999


def test_triton_vocab_finds_the_top_wherever_it_lies():
    rising = torch.arange(10000.0, device=DEVICE)[None] / 1000
    assert stats(rising, top_k=8).top_ids.tolist() == [list(range(9999, 9991, -1))]
    assert stats(rising.flip(1), top_k=8).top_ids.tolist() == [list(range(8))]
    middle = -rising
    middle[0, 4095] = 50.0
    assert stats(middle, top_k=3).top_ids.tolist() == [[4095, 0, 1]]


def test_triton_vocab_forbidden_tokens_have_no_probability():
    logits = torch.full((2, 9001), float("-inf"), device=DEVICE)
    logits[0, [4500, 8000]] = torch.tensor([1.0, 0.0], device=DEVICE)
    logits[1, 3] = -7.0
    found = stats(logits, torch.tensor([1, 3], device=DEVICE), 3, True, keep_probs=True)
    pair = torch.tensor([1.0, 0.0]).softmax(-1).to(DEVICE)
    close(found.entropy, torch.stack((torch.special.entr(pair).sum(), torch.zeros_like(pair[0]))))
    close(found.varentropy[0], pair[0] * pair[1])
    assert found.varentropy[1] == 0
    assert found.surprisal.tolist() == [float("inf"), 0.0]
    assert found.rank.tolist() == [3, 0]
    assert found.top_ids.tolist() == [[4500, 8000, 0], [3, 0, 1]]
    close(found.top_probs[0], torch.cat((pair, torch.zeros_like(pair[:1]))))
    assert found.probs[0].count_nonzero() == 2


def test_triton_vocab_divergence_where_tokens_are_forbidden():
    before = torch.tensor([[0.0, float("-inf"), 0.0], [0.0, 0.0, 0.0]], device=DEVICE)
    after = torch.tensor([[0.0, 0.0, 0.0], [0.0, float("-inf"), 0.0]], device=DEVICE)
    found = stats(after, other_logits=before).kl
    close(found[0], torch.tensor(1.5, device=DEVICE).log())
    assert found[1] > 1e15, "a token that the first allows and the second forbids"


def test_triton_vocab_divergence_from_itself_is_not_negative():
    logits = draw(6, 5000)
    kept = reference.vocab_stats(logits, None, 0, False, None, keep_probs=True)
    for source in ({"other": kept}, {"other_logits": logits}):
        kl = stats(logits + 700.3, **source).kl
        assert (kl >= 0).all()
        assert (kl < 1e-4).all()


def test_triton_vocab_spread_far_from_the_highest():
    """One high logit and many low ones at almost equal height, where E[x^2] - E[x]^2 cancels."""
    logits = torch.full((1, 8192), -30.0, device=DEVICE) + draw(1, 8192) * 1e-3
    logits[0, 77] = -22.0
    found = stats(logits, varentropy=True)
    log_probs = logits.double().log_softmax(-1)
    entropy = -(log_probs.exp() * log_probs).sum()
    expected = (log_probs.exp() * (-log_probs - entropy) ** 2).sum()
    torch.testing.assert_close(found.varentropy[0].double(), expected, rtol=1e-5, atol=0)


def test_triton_vocab_takes_a_view():
    logits = draw(6, 30)
    close(stats(logits[1::2, 10:]).entropy, stats(logits[1::2, 10:].contiguous()).entropy)
    close(stats(logits.T).entropy, stats(logits.T.contiguous()).entropy)


def test_triton_vocab_returns_only_what_is_wanted():
    found = stats(draw(2, 50))
    names = {
        field.name for field in dataclasses.fields(found) if getattr(found, field.name) is not None
    }
    assert names == {"logsumexp", "entropy"}
