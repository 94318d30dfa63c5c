"""Whole runs repeated from many seeds: whether their text has the target's distribution."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tokenarium.backend.models.generating import end_of_text
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.auditing.audit import Check
from tokenarium.backend.speculation.auditing.plain_reader import PlainReader
from tokenarium.backend.speculation.auditing.sampling import check_sampling
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.engine import Speculator
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.vocabulary import compare


class Repeater:
    """A drafter and a rule that continue one prompt from any seed.

    Nothing is refused here: a pair that the matrix refuses can be shown to be biased.

    Args:
        drafter: proposes trees.
        rule: accepts.
        processors: of the logits of both models.
        loaded: the target.
        draft: the draft model; None where the drafter's source is another.
        draft_len: deepest drafted node.
        tree_budget: most drafted nodes.
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
        speculator = Speculator.of_models(
            self.loaded,
            self.draft,
            self.drafter,
            self.rule,
            self.processors,
            prompt,
            draft_len=draft_len,
            tree_budget=tree_budget,
            max_new_tokens=length + 2 * draft_len + 1,
            seed=seed,
            shared=self._shared,
        )
        speculator.begin()
        ends, new = end_of_text(self.loaded), list[int]()
        while len(new) < length and ends.isdisjoint(new):
            new += speculator.round(length + draft_len).tokens
        end = next((at + 1 for at, token in enumerate(new) if token in ends), len(new))
        return new[:end]


def check_repeated(
    repeater: Repeater,
    prompt: Sequence[int],
    *,
    samples: int = 1000,
    length: int = 2,
    seed: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Check:
    """Test whether continuations of a prompt have the target's distribution, whatever drafts them.

    Args:
        repeater: what drafts and decides.
        prompt: tokens.
        samples: continuations to draw; the check says which bias so many would show.
        length: of continuations, tokens.
        seed: the first.
        progress: receives the number of continuations drawn; may raise to stop.
    """
    known: dict[tuple[int, ...], Tensor] = {}
    reader, processors = PlainReader(repeater.loaded), repeater.processors

    def probs(ids: Sequence[int]) -> Tensor:
        if (key := tuple(ids)) not in known:
            known[key] = processors.probs(reader(key)[None], [key])[0]
        return known[key]

    def sample(at: int) -> list[int]:
        progress(at - seed)
        return repeater.sample(prompt, length, at)

    ends = end_of_text(repeater.loaded)
    return check_sampling(
        sample, probs, prompt, samples=samples, length=length, ends=ends, seed=seed
    )
