"""A chain by the target's first layers, whose number and length are chosen anew every round."""

# ruff: noqa: N999 - the method is called so

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.speculation.drafter import Drafter, Source
from tokenarium.backend.speculation.exits import tokens_per_layer
from tokenarium.backend.speculation.tree import Draw, TokenTree

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from tokenarium.backend.speculation.draft_state import DraftState


class DEL(Drafter):
    """As early exit, where the exit layer and the draft length promise most tokens per layer.

    Every layer's state of the text is there anyway. What the unembedding makes of it says how often
    that layer alone would have said the next token: a_l over the last ``window`` tokens. A chain
    of d tokens from layer l of L then gives (1 - a_l^(d + 1)) / (1 - a_l) tokens for d l + L passes
    of a layer; the best pair is taken, d = 0 included, which drafts nothing.
    """

    slug: ClassVar[str] = "del"
    title: ClassVar[str] = "Dynamic exit (DEL)"
    explanation: ClassVar[str] = (
        "Lets the target's first layers draft, as many of them and as far as their agreement with "
        "the latest text makes best, which may be not at all."
    )
    paper: ClassVar[str] = "Entezari Zarch et al., 2025, arXiv:2504.05598"
    differs: ClassVar[str] = (
        "models need not be trained for it, and draft worse then; the rule that ends a chain early "
        "was not compared with the authors' code, and the verifying pass computes the first layers "
        "again"
    )
    caution: ClassVar[str] = (
        "pays only with a model that was trained to leave early. Measured on "
        "SmolLM2-135M-Instruct, which was not, in bfloat16 over 64 tokens: it drafted nothing, and "
        "to look at four of 30 layers took 1.2 to 1.5 times the time of plain decoding, at 14 of "
        "them 2.4 times"
    )
    draw: ClassVar[Draw] = "iid"
    source: ClassVar[Source] = "target_layers"
    shares_cache: ClassVar[bool] = True
    branches: ClassVar[bool] = False

    window: int = Field(
        32, ge=1, le=1024, description="Latest tokens of the text that an exit is judged by."
    )
    stride: int = Field(
        6, ge=1, le=64, description="Layers from one exit that is tried to the next."
    )
    confident: bool = Field(
        True,
        description="End a chain after a token less probable than those that were accepted were "
        "on average.",
    )

    def layers(self, count: int) -> int:
        """Return how many layers draft before anything is known: half of them.

        Raises:
            ValueError: if the target has one layer alone.
        """
        if count < 2:
            raise ValueError(
                f"drafter={self.slug!r} leaves a model early, and this one has {count} layer: "
                "choose a model of at least 2 layers"
            )
        return count // 2

    def watches(self, count: int) -> tuple[int, ...]:
        """Return the exits that are tried."""
        return tuple(range(min(self.stride, count - 1), count, self.stride))

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the chain from the best exit; the root alone where none promises more."""
        from tokenarium.backend.speculation.draft_state import draft_chain

        reader: Any = state.reader
        self._learn_confidence(state)
        length = state.draft_len
        watches: tuple[int, ...] | None = getattr(reader, "exits", None)
        if len(state.ids) > 1 and watches:
            agreement = self._agreement(state)
            promised = [
                [tokens_per_layer(share, depth, exit_, reader.depth) for depth in range(length + 1)]
                for share, exit_ in zip(agreement, watches, strict=True)
            ]
            best = max(range(len(promised)), key=lambda row: max(promised[row]))
            length = promised[best].index(max(promised[best]))
            reader.layers = watches[best]
        else:
            state.memory.setdefault("agreement", []).append(float("nan"))
        if not length:
            return state.tree()
        floor = self._floor(state)

        def ends(probabilities: Sequence[float], probs: "Tensor") -> bool:  # noqa: ARG001
            return len(probabilities) >= length or probabilities[-1] < floor

        tree = draft_chain(state, f"layer {reader.layers}", ends)
        shares = [float(tree.draft_probs[n - 1][tree.tokens[n]]) for n in range(1, len(tree))]
        state.memory["drafted"] = len(state.ids), tree.tokens[1:], shares
        return tree

    def agreement(self, state: "DraftState", rounds: int) -> "NDArray[Any]":
        """Return by round a_l of every layer [R, L], NaN where it was not tried."""
        import numpy as np

        reader: Any = state.reader
        found = np.full((rounds, reader.depth), np.nan, np.float32)
        columns = [exit_ - 1 for exit_ in reader.exits]
        # A last round without room for guesses is not asked to draft.
        for row, shares in zip(found, state.memory.get("agreement", []), strict=False):
            row[columns] = shares
        return found

    def _agreement(self, state: "DraftState") -> list[float]:
        import torch

        memory, reader = state.memory, state.reader
        seen = memory.get("seen", max(1, len(state.ids) - self.window))
        new = reader.agreeing(state.ids, seen)  # type: ignore[union-attr]
        hits = torch.cat([memory["hits"], new]) if "hits" in memory else new
        memory["seen"], memory["hits"] = len(state.ids), hits[-self.window :]
        shares: list[float] = memory["hits"].float().mean(0).tolist()
        memory.setdefault("agreement", []).append(shares)
        return shares

    def _learn_confidence(self, state: "DraftState") -> None:
        length, tokens, shares = state.memory.pop("drafted", (0, [], []))
        accepted = state.memory.setdefault("accepted", [])
        for said, token, share in zip(state.ids[length:-1], tokens, shares, strict=False):
            if said != token:
                break
            accepted.append(share)

    def _floor(self, state: "DraftState") -> float:
        accepted = state.memory["accepted"]
        return sum(accepted) / len(accepted) if self.confident and accepted else 0.0
