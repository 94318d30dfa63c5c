"""How the tokens of a draft model and of its target correspond, token by token."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from backend.models.loaded import LoadedModel
from backend.models.spelling import spell

Agreement = Literal["equal", "intersection"]
"""Whether both have the same tokens under the same ids, or only tokens in common are drafted."""

SMALLEST_SHARE = 0.25
"""Of the tokens of ``SAMPLES`` that a draft must have; with less it could hardly guess any."""

SAMPLES = (
    "Once upon a time there was a little girl, and she said: “Where are you going?”",
    "def area(width: float, height: float) -> float:\n    return width * height  # 3.14\n",
    "In 1987 the price rose by 12.5 % (from $1,204 to $1,354.50); see https://example.org/a?b=c.",
    "  Über naïve café,\tДым и день, 東京 🙂\n\n\tİstanbul ﬁ",
)
"""Texts that both tokenizers cut: spaces, capitals, digits, code, accents, other scripts."""

_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")


@dataclass(frozen=True)
class SharedVocabulary:
    """A draft's ids and its target's, for texts that go in and laws that come out.

    What is drafted is a token of both: the draft's law is restricted to them and renormalised,
    which any rule that is exact for the restricted law is exact for.
    """

    agreement: Agreement
    reason: str
    """What was compared, and what differs, in words."""
    width: int
    """V: how many ids the target's logits have."""
    target_ids: tuple[int, ...]
    """[C] tokens in common, ascending."""
    draft_ids: tuple[int, ...]
    """[C] the same tokens as the draft has them."""
    spellings: dict[int, tuple[int, ...]] = field(repr=False)
    """By target id, the draft's ids for a token that the draft does not have."""
    _on: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    def translated(self, ids: Sequence[int]) -> list[int]:
        """Return the draft's ids of tokens in common."""
        return [self._to_draft[token] for token in ids]

    def spelled(self, ids: Sequence[int]) -> list[int]:
        """Return the draft's ids of any text; what it does not have in its own tokens."""
        found: list[int] = []
        for token in ids:
            own = self._to_draft.get(token)
            found += self.spellings.get(token, ()) if own is None else (own,)
        return found

    def logits(self, logits: Tensor) -> Tensor:
        """Return a draft's logits [n, V of the draft] as the target's [n, V], -inf elsewhere."""
        count = len(self.target_ids)
        if self._aligned:
            if count == self.width == logits.shape[-1]:
                return logits
            return F.pad(logits[:, :count], (0, self.width - count), value=float("-inf"))
        found = logits.new_full((len(logits), self.width), float("-inf"))
        target, draft = self._columns(logits.device)
        return found.index_copy_(1, target, logits.index_select(1, draft))

    @cached_property
    def _aligned(self) -> bool:
        return self.target_ids == self.draft_ids == tuple(range(len(self.target_ids)))

    @cached_property
    def _to_draft(self) -> dict[int, int]:
        return dict(zip(self.target_ids, self.draft_ids, strict=True))

    def _columns(self, device: torch.device) -> tuple[Tensor, Tensor]:
        if device not in self._on:
            self._on[device] = (
                torch.tensor(self.target_ids, device=device),
                torch.tensor(self.draft_ids, device=device),
            )
        return self._on[device]


def compare(target: LoadedModel, draft: LoadedModel) -> SharedVocabulary:
    """Find out which tokens a draft can guess for a target.

    Tokens are the same where they stand for the same bytes, or are special and written alike or in
    the same role.

    Raises:
        ValueError: if too few tokens are in both for the draft to guess any.
    """
    return match(target.tokenizer, draft.tokenizer, _logits(target), _logits(draft))


def match(
    target: PreTrainedTokenizerFast,
    draft: PreTrainedTokenizerFast,
    target_width: int,
    draft_width: int,
) -> SharedVocabulary:
    """Do what ``compare`` documents, for tokenizers and how many ids each model's logits have."""
    ours, theirs = _ids_by_text(target, target_width), _ids_by_text(draft, draft_width)
    pairs = {
        one: other
        for text, ids in ours.items()
        for one, other in zip(ids, theirs.get(text, ()), strict=False)
    }
    for role in _ROLES:
        one, other = (getattr(tokenizer, f"{role}_id") for tokenizer in (target, draft))
        if None not in (one, other) and one not in pairs and other not in pairs.values():
            pairs[one] = other
    sampled = [target.encode(text, add_special_tokens=False) for text in SAMPLES]
    share = sum(token in pairs for ids in sampled for token in ids) / sum(map(len, sampled))
    if share < SMALLEST_SHARE:
        raise ValueError(
            f"draft_model has {share:.0%} of the tokens of ordinary text that the target has, "
            f"below {SMALLEST_SHARE:.0%}: choose a draft model of the target's family"
        )
    differences = _differences(target, draft, ours, theirs, pairs)
    reason = f"both have the same {len(pairs):,} tokens under the same ids and cut texts alike"
    if differences:
        reason = f"{'; '.join(differences)}: the {len(pairs):,} tokens in common are drafted"
    common = sorted(pairs)
    return SharedVocabulary(
        "intersection" if differences else "equal",
        reason,
        target_width,
        tuple(common),
        tuple(pairs[token] for token in common),
        _spellings(target, draft, draft_width, set(range(target_width)) - set(pairs)),
    )


def _logits(loaded: LoadedModel) -> int:
    head: Any = loaded.model.get_output_embeddings()
    return int(head.weight.shape[0])


def _ids_by_text(
    tokenizer: PreTrainedTokenizerFast, width: int
) -> dict[tuple[str, bool], list[int]]:
    """Return the ids of each text, apart by whether it is special; ids of padding have none."""
    ids = [token for token in tokenizer.get_vocab().values() if token < width]
    special = set(tokenizer.all_special_ids)
    special |= {key for key, token in tokenizer.added_tokens_decoder.items() if token.special}
    found: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for token, text in spell(tokenizer, ids).items():
        found[text, token in special].append(token)
    return found


def _differences(
    target: PreTrainedTokenizerFast,
    draft: PreTrainedTokenizerFast,
    ours: dict[tuple[str, bool], list[int]],
    theirs: dict[tuple[str, bool], list[int]],
    pairs: dict[int, int],
) -> list[str]:
    """Say what differs, item by item."""
    found = []
    sizes = [sum(map(len, ids.values())) for ids in (ours, theirs)]
    if len(pairs) < max(sizes):
        found.append(f"the target has {sizes[0]:,} tokens and the draft {sizes[1]:,}")
    moved = sum(one != other for one, other in pairs.items())
    if moved:
        found.append(f"{moved:,} tokens have other ids")
    for role in _ROLES:
        one, other = (getattr(tokenizer, f"{role}_id") for tokenizer in (target, draft))
        if one is not None and pairs.get(one) != other:
            found.append(f"{role} is another token")
    apart = [text for text in SAMPLES if _cut(target, text) != _cut(draft, text)]
    if apart:
        found.append(f"{len(apart)} of {len(SAMPLES)} sample texts are cut differently")
    return found


def _cut(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    ids = tokenizer.encode(text, add_special_tokens=False)
    texts = spell(tokenizer, ids)
    return [texts[token] for token in ids]


def _spellings(
    target: PreTrainedTokenizerFast,
    draft: PreTrainedTokenizerFast,
    draft_width: int,
    missing: Iterable[int],
) -> dict[int, tuple[int, ...]]:
    """Return the draft's ids for the text of each token that it does not have.

    Half characters, padding and what it cannot write become its unknown token, or its first.
    """
    known = (draft.unk_token_id, draft.bos_token_id, draft.eos_token_id, 0)
    stand_in = next(token for token in known if token is not None)
    found = {}
    for token, text in spell(target, missing).items():
        ids = [key for key in draft.encode(text, add_special_tokens=False) if key < draft_width]
        found[token] = tuple(ids) or (stand_in,)
    return found
