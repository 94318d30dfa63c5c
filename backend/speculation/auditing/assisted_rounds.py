"""Records what transformers' assisted generation drafts and accepts, changing nothing of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor

from tokenarium.backend.models.generating import wait
from tokenarium.backend.models.loaded import LoadedModel

KNOWN_MAJOR = 5
_HOOK = "_get_candidate_generator"


@dataclass
class AssistedRound:
    """One round of transformers' assisted generation."""

    before: list[int]
    """All tokens before it, prompt included."""
    drafted: list[int]
    """[n]"""
    draft_scores: Tensor | None
    """[n, V] log probabilities up to a constant, as reported by the draft; None where there are
    none."""
    target_scores: Tensor
    """[n + 1, V] the same of the target, processed."""
    new: list[int]
    """What was added: accepted tokens, and mostly one that follows them."""
    draft_ms: float
    verify_ms: float
    """The pass of the target and the acceptance; of the first round also the prompt."""
    other_ms: float

    @property
    def accepted(self) -> int:
        """How many drafted tokens were added.

        What replaces a rejected token is never the same token: all rules leave it nothing.
        """
        pairs = zip(self.drafted, self.new, strict=False)
        return next((at for at, (one, other) in enumerate(pairs) if one != other),
                    min(len(self.drafted), len(self.new)))  # fmt: skip

    @property
    def cropped(self) -> bool:
        """Whether the text ended with a drafted token, and what follows it was dropped."""
        return self.accepted == len(self.new)


@contextmanager
def record_rounds(
    loaded: LoadedModel, draft_len: int | None = None
) -> Iterator[list[AssistedRound]]:
    """Collect the rounds of ``loaded.model.generate`` with an assistant or prompt lookup.

    Only this model is watched, so that other threads generate with others as before.

    Args:
        loaded: the target.
        draft_len: most tokens that an assistant drafts; None leaves it to transformers.
    Raises:
        ValueError: if this version of transformers is not known.
    """
    refuse_unless_known(loaded)
    rounds: list[AssistedRound] = []
    make = getattr(loaded.model, _HOOK)

    def made(*args: Any, **kwargs: Any) -> Any:
        generator = make(*args, **kwargs)
        if draft_len is not None and hasattr(generator, "num_assistant_tokens"):
            generator.num_assistant_tokens = draft_len
        _CandidateRecorder(generator, loaded, rounds)
        return generator

    setattr(loaded.model, _HOOK, made)
    try:
        yield rounds
    finally:
        delattr(loaded.model, _HOOK)


def refuse_unless_known(loaded: LoadedModel) -> None:
    """Refuse a version of transformers whose assisted generation was not looked at."""
    version = transformers.__version__
    if version.split(".")[0] != str(KNOWN_MAJOR) or not hasattr(loaded.model, _HOOK):
        raise ValueError(
            f"transformers={version} drafts in a way that is not known here: install 5.x, such as "
            "5.23"
        )


class _CandidateRecorder:
    """Stands before two methods of one candidate generator."""

    def __init__(self, generator: Any, loaded: LoadedModel, rounds: list[AssistedRound]) -> None:
        self._loaded, self._rounds = loaded, rounds
        self._propose: Callable[..., Any] = generator.get_candidates
        self._learn: Callable[..., Any] = generator.update_candidate_strategy
        self._proposed: tuple[Tensor, Tensor, Tensor | None] | None = None
        self._clock = [self._now()] * 3
        generator.get_candidates = self.get_candidates
        generator.update_candidate_strategy = self.update_candidate_strategy

    def get_candidates(self, input_ids: Tensor, **kwargs: Any) -> Any:
        """Let the draft propose, and remember what."""
        start = self._now()
        candidates, scores = self._propose(input_ids, **kwargs)
        self._clock = [self._clock[-1], start, self._now()]
        self._proposed = (input_ids, candidates, scores)
        return candidates, scores

    def update_candidate_strategy(self, input_ids: Tensor, scores: Tensor, matches: int) -> Any:
        """Remember what the target made of it."""
        assert self._proposed is not None
        done = self._now()
        text, candidates, draft_scores = self._proposed
        ended, started, drafted = self._clock
        self._rounds.append(
            AssistedRound(
                before=text[0].tolist(),
                drafted=candidates[0, text.shape[1] :].tolist(),
                draft_scores=None if draft_scores is None else draft_scores[0].float(),
                target_scores=scores[0].float(),
                new=input_ids[0, text.shape[1] :].tolist(),
                draft_ms=(drafted - started) * 1e3,
                verify_ms=(done - drafted) * 1e3,
                other_ms=(started - ended) * 1e3,
            )
        )
        found = self._learn(input_ids, scores, matches)
        self._clock = [self._now()]
        return found

    def _now(self) -> float:
        wait(self._loaded.device)
        return time.perf_counter()


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seed the random numbers that transformers draws, and put them back afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        # torch.manual_seed would look for a GPU every time, and take longer than short texts do.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        yield
