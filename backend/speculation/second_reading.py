"""The drafted chain read a second time, after a text that asks for it, in the verifying pass."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.draft_state import DraftState
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.tree import TokenTree


class SecondReading:
    """Reads a chain, a rule's text and the chain's drafted tokens again, all in one pass.

    A token of the copy sees the draft that it repeats: how likely it is says whether the model
    would write it once more, having read all of it.

    Args:
        rule: whose ``rereads`` is the text between.
        loaded: spells it.
    """

    def __init__(self, rule: Rule, loaded: LoadedModel) -> None:
        asked = loaded.tokenizer(rule.rereads, add_special_tokens=False, verbose=False)
        self.between: list[int] = list(asked["input_ids"])
        """Tokens of the text between."""

    def read(self, target: TreeReader, chain: list[int]) -> tuple[Tensor, Tensor]:
        """Return logits after each token of a chain [n, V], and those of the copy [n - 1, V].

        Row i of the copy predicts drafted token i + 1. Positions go on, so that the copy stands
        where it would if the text had really gone on like this; ``target.keep`` drops it.

        Args:
            target: read the text before.
            chain: [n] the root, which no copy is made of, and at least one drafted token.

        Raises:
            ValueError: if the copy would stand beyond the positions that the model has.
        """
        count = len(chain)
        ids = [*chain, *self.between, *chain[1:-1]]
        hidden = target.read_states(ids, range(-1, len(ids) - 1))
        again = hidden[count + len(self.between) - 1 :]
        return target.loaded.unembed(hidden[:count]), target.loaded.unembed(again)


class JudgedProbs(Mapping[int, Tensor]):
    """By verified node of a chain, the distribution [V] that a rule tests its child by."""

    def __init__(self, targets: Mapping[int, Tensor], fused: Mapping[int, Tensor]) -> None:
        self._targets, self._fused = targets, fused
        self.again: dict[int, Tensor] = {}
        """By node with a child, the distribution [V] of the second reading."""

    @classmethod
    def of(
        cls,
        rule: Rule,
        targets: Mapping[int, Tensor],
        state: DraftState,
        tree: TokenTree,
        logits: Tensor,
    ) -> Self:
        """Return what a rule makes of both readings.

        Args:
            rule: fuses them.
            targets: by verified node, the target's distribution [V].
            state: before the text goes on. Its temperature and penalty hold for the second reading
                too; top-k, top-p and min-p do not: what they leave of the first counts.
            tree: whose verified nodes are a chain.
            logits: [n - 1, V] of the copy.
        """
        nodes = tree.verified()[:-1]
        softer = replace(state.processors, top_k=0, top_p=1.0, min_p=0.0)
        penalty = softer.repetition_penalty != 1
        paths = [state.prefix(tree, node) for node in nodes] if penalty else None
        again = softer.probs(logits, paths)
        fused = rule.of_readings(torch.stack([targets[node] for node in nodes]), again)
        found = cls(targets, dict(zip(nodes, fused, strict=True)))
        found.again = dict(zip(nodes, again, strict=True))
        return found

    def __getitem__(self, node: int) -> Tensor:
        found = self._fused.get(node)
        return self._targets[node] if found is None else found

    def __iter__(self) -> Iterator[int]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)
