"""A run in which steps read a selection, over full matrices: one pass, each row its own columns."""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tests.cache.policies.twin import TOKENS
from tests.interventions import oracle
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.models.loaded import LoadedModel

Rule = Callable[[int, int, Tensor, Tensor, Tensor], list[list[int]] | None]
"""(layer, step, weights [H, n, S], q [H, n, D], k [G, S, D]) to what each KV head reads of S."""
Read = list[list[list[list[int]] | None]]
"""By step, layer and KV head; None where everything is read."""
TURNS = (24, 1, 1, 1, 3, 1, 1, 5, 1)
"""A prompt, and steps of one token or several."""


def expected(
    model: PreTrainedModel,
    rule: Rule,
    cap: int | None = None,
    whole: bool = False,
    turns: Sequence[int] = TURNS,
) -> tuple[Read, Tensor]:
    """What is read, and the log-probabilities [N, V].

    Args:
        cap: of a Llama: keys stand no further than so many places before a step's newest token.
        whole: the rule is handed the queries of the text so far, not those of the step alone.
        turns: tokens read at once, one after another; what the first reads is not chosen.
    """
    config = model.config
    groups = getattr(config, "num_key_value_heads", config.num_attention_heads)
    read: Read = [[] for _ in turns[1:]]

    def edit(module: nn.Module, weights: Tensor, q: Tensor, k: Tensor) -> Tensor:
        weights, each = weights.clone(), len(q) // groups
        for step, (start, stop) in enumerate(pairwise(accumulate(turns))):
            rows = slice(start, stop)
            own, keys = weights[:, rows, :stop], k[:, :stop]
            if cap is not None:
                keys = turned(keys, (stop - 1 - cap - torch.arange(stop)).clamp(min=0))
                later = torch.arange(stop) > torch.arange(start, stop)[:, None]
                logits = q[:, rows] @ keys.mT * module.scaling
                own = logits.masked_fill(later, float("-inf")).softmax(-1)
                weights[:, rows, :stop] = own
                own = weights[:, rows, :stop]
            seen = q[:, :stop] if whole else q[:, rows]
            found = rule(int(module.layer_idx), step, own, seen, keys[::each])
            read[step].append(found)
            for h in range(len(q)):
                hidden = torch.ones(stop, dtype=torch.bool)
                hidden[range(stop) if found is None else found[h // each]] = False
                own[h, :, hidden] = 0
            own /= own.sum(-1, keepdim=True)
        return weights

    log_p = oracle.run(model, TOKENS[: sum(turns)], edit).log_p
    return read, torch.from_numpy(log_p)


def turned(keys: Tensor, by: Tensor) -> Tensor:
    """Keys [H, S, D] of a Llama with base 10000, moved on by [S] places."""
    half = keys.shape[-1] // 2
    angle = by[:, None] * 10000.0 ** (-torch.arange(half) / half)
    a, b = keys[..., :half], keys[..., half:]
    return torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), -1)


def highest_blocks(
    scores: Tensor, count: int, block: int, held: int, always: set[int]
) -> list[int]:
    """The entries in the highest blocks of [B], those with an entry of ``always`` first."""
    safe = {entry // block for entry in always}
    blocks = highest(scores, count, safe)
    return [at for own in blocks for at in range(own * block, min(held, (own + 1) * block))]


def live(loaded: LoadedModel, policy: Policy, budget: int) -> tuple[Read, Tensor]:
    """The same of the engine."""
    sequence = CachedSequence(loaded, policy, budget)
    read: Read = []
    log_p = []
    for start, stop in pairwise(accumulate(TURNS, initial=0)):
        log_p.append(sequence.read_each(TOKENS[start:stop]).double().log_softmax(-1))
        of_step = [sequence.selected.get(layer) for layer in range(len(loaded.layers))]
        read.append([each and [own.tolist() for own in each.positions] for each in of_step])
        counts = {count for held in sequence.layers for count in held.entries.counts}
        assert counts == {stop}, "a policy that selects keeps every entry"
    assert read[0] == [None] * len(loaded.layers)
    return read[1:], torch.cat(log_p)


def highest(scores: Tensor, count: int, always: set[int]) -> list[int]:
    """The ascending indices of the highest of [S] scores, ``always`` first; ties to the older."""
    values = scores.tolist()
    return sorted(
        sorted(range(len(values)), key=lambda i: (i not in always, -values[i], i))[:count]
    )


def agree(found: tuple[Read, Tensor], twin: tuple[Read, Tensor]) -> None:
    """Check that both read the same and predict the same."""
    assert found[0] == twin[0]
    torch.testing.assert_close(found[1], twin[1], rtol=1e-4, atol=1e-4)
