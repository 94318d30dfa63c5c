"""A tree of the sequences that a stochastic beam search draws, each once."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.tree import ROOT, Draw, TokenTree

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.speculation.draft_state import DraftState


class StochasticBeam(Drafter):
    """Keep the ``width`` sequences of largest perturbed log-probability at every depth.

    Children of a node of key G get ln q(path) + Gumbel noise, conditioned on their largest being
    G: the best child inherits its parent's key, and whole sequences are drawn without replacement.
    How many children of a node are kept depends on keys, never on which token comes next, so
    siblings are a draw without replacement in the order of their keys. At temperature 0 it is a
    beam search without noise.
    """

    slug: ClassVar[str] = "stochastic_beam"
    title: ClassVar[str] = "Stochastic beam (RSD-S)"
    explanation: ClassVar[str] = (
        "Draws whole continuations without replacement, so that likely beginnings get more "
        "children than unlikely ones, within the same width at every depth."
    )
    paper: ClassVar[str] = "Jeon et al., 2024, arXiv:2402.14160"
    draw: ClassVar[Draw] = "without_replacement"

    width: int = Field(4, ge=1, le=64, description="Nodes kept at every depth.")

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the tree, each level read in one pass; a node's value is q of its path."""
        tree, level = state.tree(), [(ROOT, 0.0, 0.0)]  # node, ln q of its path, key
        for _ in range(state.draft_len):
            count = min(self.width, state.tree_budget + 1 - len(tree))
            if not level or count < 1:
                break
            rows = state.probs(tree, [node for node, _, _ in level])
            level = self._grow(state, tree, level, rows, count)
        return tree

    def _grow(
        self,
        state: "DraftState",
        tree: TokenTree,
        level: list[tuple[int, float, float]],
        rows: "Tensor",
        count: int,
    ) -> list[tuple[int, float, float]]:
        """Add the children of largest keys, the largest first, and return them."""
        import torch

        above = torch.tensor([chance for _, chance, _ in level], dtype=torch.float64)
        chances = rows.double().cpu().log() + above[:, None]
        keys = chances
        if not state.greedy:
            parents = torch.tensor([key for _, _, key in level], dtype=torch.float64)
            uniforms = torch.from_numpy(state.random.random(tuple(rows.shape)))
            keys = conditioned(chances - uniforms.clamp_min(1e-300).log().neg().log(), parents)
        found = keys.flatten().topk(min(count, keys.numel()))
        below = []
        for key, at in zip(found.values.tolist(), found.indices.tolist(), strict=True):
            row, token = divmod(at, rows.shape[-1])
            if key == -torch.inf:
                break
            node = level[row][0]
            probability = min(1.0, float(rows[row, token]))
            tree.draft_probs[node] = rows[row]
            child = tree.add(node, token, tree.values[node] * probability, "draft model")
            below.append((child, float(chances[row, token]), key))
        return below


def conditioned(keys: "Tensor", parents: "Tensor") -> "Tensor":
    """Return Gumbel keys [n, V], given that the largest of each row is that of its parent [n].

    -ln(exp(-parent) - exp(-largest) + exp(-key)), without overflow (Kool et al., 2019,
    arXiv:1903.06059).
    """
    import torch

    largest = keys.amax(-1, keepdim=True)
    parent = parents[:, None]
    shifted = parent - keys + torch.log1p(-torch.exp(keys - largest))
    moved = parent - shifted.clamp_min(0) - torch.log1p(torch.exp(-shifted.abs()))
    return torch.where(keys == -torch.inf, -torch.inf, torch.where(keys == largest, parent, moved))
