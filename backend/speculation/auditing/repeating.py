"""Samples a short continuation of one request again and again, and tests its law."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from tokenarium.backend.models.generating import end_of_text
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.auditing.audit import Check
from tokenarium.backend.speculation.auditing.reading import PlainReader
from tokenarium.backend.speculation.auditing.sampling import check_sampling
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.drafting import Drafting
from tokenarium.backend.speculation.engine import Speculator
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.vocabulary import compare


class Repeater:
    """A drafter and a rule that continue one prompt from any seed.

    Nothing is refused here: a pair that the matrix refuses can be shown to be biased.

    Args:
        drafter: guesses.
        rule: decides.
        processors: of both laws.
        loaded: the target.
        draft: what the drafter reads with; None where it reads the text, or the target's layers.
        draft_len: deepest guess.
        tree_budget: most guesses.
    """

    def __init__(
        self,
        drafter: Drafter,
        rule: Rule,
        processors: Processors,
        loaded: LoadedModel,
        draft: LoadedModel | None,
        *,
        draft_len: int = 4,
        tree_budget: int = 8,
    ) -> None:
        self.drafter, self.rule, self.processors = drafter, rule, processors
        self.loaded, self.draft = loaded, draft
        self._shared = None if draft is None else compare(loaded, draft)
        self._sizes = draft_len, tree_budget

    @torch.inference_mode()
    def sample(self, prompt: Sequence[int], length: int, seed: int) -> list[int]:
        """Return at least ``length`` new tokens, or fewer up to the end of the text."""
        draft_len, tree_budget = self._sizes
        room = len(prompt) + length + 2 * draft_len + tree_budget + 2
        head: torch.nn.Linear = self.loaded.model.get_output_embeddings()
        drafting = Drafting(
            ids=list(prompt),
            vocabulary=int(head.weight.shape[0]),
            draft_len=draft_len,
            tree_budget=tree_budget,
            processors=self.processors,
            random=np.random.default_rng([seed, 1]),
            reader=self._reader(room),
            shared=self._shared,
        )
        random = np.random.default_rng([seed, 2])
        target = TreeReader(self.loaded, room)
        speculator = Speculator(target, self.drafter, drafting, self.rule, random)
        speculator.begin()
        ends, new = end_of_text(self.loaded), list[int]()
        while len(new) < length and ends.isdisjoint(new):
            new += speculator.round(length + draft_len).tokens
        end = next((at + 1 for at, token in enumerate(new) if token in ends), len(new))
        return new[:end]

    def _reader(self, room: int) -> TreeReader | None:
        if self.drafter.reads == "target_layers":
            layers = self.drafter.layers(len(self.loaded.layers))
            return TreeReader(self.loaded, room, layers=layers)
        return None if self.draft is None else TreeReader(self.draft, room)


def check_repeated(
    repeater: Repeater,
    prompt: Sequence[int],
    *,
    samples: int = 1000,
    length: int = 2,
    seed: int = 0,
    tell: Callable[[int], None] = lambda _: None,
) -> Check:
    """Test whether continuations of a prompt have the target's law, whatever drafts them.

    Args:
        repeater: what drafts and decides.
        prompt: tokens.
        samples: continuations to draw; the check says which bias so many would show.
        length: of continuations, tokens.
        seed: the first.
        tell: receives the number of continuations drawn; may raise to stop.
    """
    known: dict[tuple[int, ...], Tensor] = {}
    reader, processors = PlainReader(repeater.loaded), repeater.processors

    def law(ids: Sequence[int]) -> Tensor:
        if (key := tuple(ids)) not in known:
            known[key] = processors.law(reader(key)[None], [key])[0]
        return known[key]

    def sample(at: int) -> list[int]:
        tell(at - seed)
        return repeater.sample(prompt, length, at)

    ends = end_of_text(repeater.loaded)
    return check_sampling(sample, law, prompt, samples=samples, length=length, ends=ends, seed=seed)
