"""The full model reading along: what a policy's cache cost, and what it dropped too soon."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.layer_view import LayerView
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.shared_passes import SharedPasses
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.rotary_crossing import rotary_crossing

TOGETHER = 16
"""Steps the full model reads in one pass; in half precision one, as the policy does, because there
several tokens round otherwise than one, and one where rotary positions change on the way."""


class _Observed(Full):
    """The full cache, its attention shown to somebody."""

    needs = frozenset({"attention"})

    see: Callable[[LayerView, Tensor], None] = Field(
        description="Receives the weights of every layer."
    )

    def observe_step(self, view: LayerView, weights: Tensor) -> None:
        """Show the weights [H, n, S] of the n newest queries."""
        self.see(view, weights)


class FullModelReference:
    """One full cache for all policies: the prompt is read once, and each continuation after it."""

    def __init__(
        self,
        loaded: LoadedModel,
        prompt: list[int],
        check: Callable[[], None],
        places: int,
        shared_passes: SharedPasses | None = None,
    ) -> None:
        """Read the prompt.

        Args:
            loaded: nobody else uses it meanwhile.
            prompt: T tokens.
            check: called in every layer; raises to stop.
            places: positions of the prompt and of every step together.
            shared_passes: of the run that this is beside.
        """
        self.missed = Missed(len(prompt), places)
        policy = _Observed(see=self.missed.look)
        self._sequence = CachedSequence(
            loaded, policy, 1, check=check, free_windows=False, shared_passes=shared_passes
        )
        self.first = self._sequence.read(prompt).float()
        """[V] logits after the prompt."""
        self.attending = self._sequence.attending
        """Layers that attend; of the others nothing can be missed."""
        # A pass turns all its keys by its last position, past a switch another rotation; a layer
        # with a state goes on from it one token at a time.
        crosses = rotary_crossing(loaded, len(prompt), places) is not None
        alone = crosses or self._sequence.cache.has_states or loaded.dtype != torch.float32
        self.together = 1 if alone else TOGETHER

    def begin(self, evicted_at: NDArray[np.int16]) -> None:
        """Go back to the end of the prompt, beside another policy.

        Args:
            evicted_at: [L, G, positions] what the policy drops when, filled in as it goes.
        """
        self._sequence.rewind()
        self.missed.begin(evicted_at)

    def read(self, ids: list[int]) -> Tensor:
        """Read the tokens of the next steps, and return the logits after each [n, V], float32."""
        self.missed.expect(len(ids))
        return self._sequence.read_each(ids).float()


class Missed:
    """Compares the full model's attention with what a policy had dropped by then, or not read."""

    def __init__(self, prompt: int, places: int) -> None:
        self._prompt, self._places = prompt, places

    def begin(self, evicted_at: NDArray[np.int16]) -> None:
        """Look at another policy; see ``FullModelReference.begin``."""
        self._evicted_at = evicted_at
        self.read: dict[tuple[int, int], NDArray[np.bool_]] = {}
        """[G, positions] by step and layer what a step read, where that was not everything."""
        shape = (*evicted_at.shape[:2], self._places)
        self.most = np.zeros(shape, np.float32)
        """Highest weight that each entry got after it was dropped."""
        self.most_step = np.full(shape, -1, np.int32)
        """The step of that weight."""

    def expect(self, queries: int) -> None:
        """Begin with as many steps; a layer with a window of its own loses nothing."""
        shape = (queries, len(self._evicted_at))
        self.lost_mass = np.zeros(shape, np.float32)
        """[n, L] attention of the steps just read to what had been dropped, or was not read."""
        self.topk_overlap = np.ones(shape, np.float32)
        """[n, L] share of the entries with most attention that the policy read."""

    def look(self, view: LayerView, weights: Tensor) -> None:
        """See the weights [H, n, S] of the n newest queries of a layer."""
        grouped = weights.view(view.groups, -1, *weights.shape[1:]).mean(1)  # [G, n, S]
        queries, places = grouped.shape[1:]
        own = slice(view.groups)  # another layer may have more
        gone_at = torch.from_numpy(self._evicted_at[view.layer, own, :places]).to(grouped.device)
        at = torch.arange(places - queries, places, device=grouped.device)[:, None]
        # Step s reads token s - 1, at position T + s - 1; what went after step s was still there.
        step = at - self._prompt + 1
        gone = (gone_at >= 0)[:, None] & (gone_at[:, None] < step)  # [G, n, S]
        for row, number in enumerate(step[:, 0].tolist()):
            if (read := self.read.pop((number, view.layer), None)) is not None:
                gone[:, row] |= ~torch.from_numpy(read[:, :places]).to(gone.device)
        seen = torch.arange(places, device=grouped.device) <= at
        lost = grouped.where(gone, 0.0)
        self.lost_mass[:, view.layer] = lost.sum(2).mean(0).cpu().numpy()
        self.topk_overlap[:, view.layer] = _overlap(grouped, seen & ~gone).cpu().numpy()
        highest, query = lost.max(1)
        most = self.most[view.layer, own, :places]
        found, when = highest.cpu().numpy(), step[query, 0].cpu().numpy()
        better = found > most
        most[better] = found[better]
        self.most_step[view.layer, own, :places][better] = when[better]


def _overlap(weights: Tensor, kept: Tensor) -> Tensor:
    """Return [n] the share of the k highest weights [G, n, S] that are kept, k = number kept."""
    order = weights.argsort(dim=2, descending=True, stable=True)
    count = kept.sum(2, keepdim=True)
    among = torch.arange(weights.shape[2], device=weights.device) < count
    hits = (kept.gather(2, order) & among).sum(2)
    return (hits / count[..., 0]).mean(0)


def divergence(full: Tensor, policy: Tensor, ids: list[int]) -> dict[str, Any]:
    """Compare distributions of the next token.

    Args:
        full: [n, V] logits of the full model, float32.
        policy: [n, V] logits under the policy, float32.
        ids: n tokens that came next.
    Returns: [n] arrays by the names of the result: kl_nats, top1_agree and both surprisals.
    """
    p, q = full.log_softmax(-1), policy.log_softmax(-1)
    at = torch.tensor(ids, device=p.device)[:, None]
    measured = {
        "kl_nats": _kl(p, q),
        "top1_agree": (p.argmax(-1) == q.argmax(-1)).float(),
        "surprisal_nats": -q.gather(1, at)[:, 0],
        "full_surprisal_nats": -p.gather(1, at)[:, 0],
    }
    return {name: values.cpu().numpy() for name, values in measured.items()}


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """Return [n] sum of p ln(p / q) in nats, from log-probabilities [n, V].

    Summed as q - p - p ln(q / p), where what is added sums to 0: no term can be negative, so that
    rounding alone is cut off at 0, and errors of both normalisations cancel.
    """
    ahead = q - p
    near = p.exp() * (torch.expm1(ahead) - ahead)
    far = q.exp() - p.exp() * (1 + ahead)
    terms = torch.where(ahead.abs() < 1, near, far).clamp(min=0)
    return torch.where(p.isneginf(), q.exp(), terms).sum(-1)
