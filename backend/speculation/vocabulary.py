"""How the tokens of a draft model and of its target correspond, token by token."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.spelling import spell

Agreement = Literal["equal", "intersection"]
"""Whether both have the same tokens under the same ids, or only tokens in common are drafted."""

SMALLEST_SHARE = 0.25
"""Of the tokens of ``SAMPLES`` that a draft must have; with less it could hardly draft any."""

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
    """A draft model's ids and its target's, for texts that go in and logits that come out.

    Only tokens of both are drafted: the draft's distribution is restricted to them and
    renormalised, and a rule that is exact for any draft is exact for that one too.
    """

    agreement: Agreement
    reason: str
    """What was compared, and what differs."""
    width: int
    """V: how many ids the target's logits have."""
    target_ids: tuple[int, ...]
    """[C] tokens in common, ascending."""
    draft_ids: tuple[int, ...]
    """[C] the same tokens as the draft has them."""
    spelling: Callable[[int], tuple[int, ...]] = field(repr=False)
    """Gives the draft's ids for a target's token that the draft does not have."""
    _on: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    def translated(self, ids: Sequence[int]) -> list[int]:
        """Return the draft's ids of tokens in common."""
        return [self._to_draft[token] for token in ids]

    def spelled(self, ids: Sequence[int]) -> list[int]:
        """Return the draft's ids of any text; what it does not have in its own tokens."""
        found: list[int] = []
        for token in ids:
            own = self._to_draft.get(token)
            found += self.spelling(token) if own is None else (own,)
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
    """Return which tokens a draft model can draft for a target.

    Tokens are the same where they stand for the same bytes, or are special and written alike or in
    the same role.

    Raises:
        ValueError: if too few tokens are in both for the draft to draft any.
    """
    return match(target.tokenizer, draft.tokenizer, logits_width(target), logits_width(draft))


def match(
    target: PreTrainedTokenizerFast,
    draft: PreTrainedTokenizerFast,
    target_width: int,
    draft_width: int,
) -> SharedVocabulary:
    """Do what ``compare`` documents, for tokenizers and how many ids each model's logits have."""
    pairs = _pairs(target, draft, target_width, draft_width)
    sampled = [target.encode(text, add_special_tokens=False) for text in SAMPLES]
    share = sum(token in pairs for ids in sampled for token in ids) / sum(map(len, sampled))
    if share < SMALLEST_SHARE:
        raise ValueError(
            f"draft_model has {share:.0%} of the tokens of ordinary text that the target has, "
            f"below {SMALLEST_SHARE:.0%}: choose a draft model of the target's family"
        )
    sizes = [
        sum(token < width for token in tokenizer.get_vocab().values())
        for tokenizer, width in ((target, target_width), (draft, draft_width))
    ]
    differences = _differences(target, draft, sizes, pairs)
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
        lru_cache(maxsize=None)(partial(_spelled, target, draft, draft_width)),
    )


def logits_width(loaded: LoadedModel) -> int:
    """Return how many ids a model's logits have."""
    head: Any = loaded.model.get_output_embeddings()
    return int(head.weight.shape[0])


def _pairs(
    target: PreTrainedTokenizerFast,
    draft: PreTrainedTokenizerFast,
    target_width: int,
    draft_width: int,
) -> dict[int, int]:
    """Return the draft's id by the target's, of tokens in common."""
    if target.get_vocab() == draft.get_vocab() and _special(target) == _special(draft):
        both = min(target_width, draft_width)
        return {token: token for token in target.get_vocab().values() if token < both}
    ours, theirs = _ids_by_text(target, target_width), _ids_by_text(draft, draft_width)
    pairs = {
        one: other
        for text, ids in ours.items()
        for one, other in zip(ids, theirs.get(text, ()), strict=False)
    }
    taken = set(pairs.values())
    for role in _ROLES:
        one, other = (getattr(tokenizer, f"{role}_id") for tokenizer in (target, draft))
        if None not in (one, other) and one not in pairs and other not in taken:
            pairs[one] = other
            taken.add(other)
    return pairs


def _special(tokenizer: PreTrainedTokenizerFast) -> set[int]:
    added = tokenizer.added_tokens_decoder.items()
    return set(tokenizer.all_special_ids) | {key for key, token in added if token.special}


def _ids_by_text(
    tokenizer: PreTrainedTokenizerFast, width: int
) -> dict[tuple[str, bool], list[int]]:
    """Return the ids of each text, apart by whether it is special; rows of padding have none."""
    ids = [token for token in tokenizer.get_vocab().values() if token < width]
    special = _special(tokenizer)
    found: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for token, text in spell(tokenizer, ids).items():
        found[text, token in special].append(token)
    return found


def _differences(
    target: PreTrainedTokenizerFast,
    draft: PreTrainedTokenizerFast,
    sizes: list[int],
    pairs: dict[int, int],
) -> list[str]:
    """Say what differs, item by item."""
    found = []
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


def _spelled(
    target: PreTrainedTokenizerFast, draft: PreTrainedTokenizerFast, draft_width: int, token: int
) -> tuple[int, ...]:
    """Return the draft's ids for the text of a token that it does not have.

    What it cannot write becomes its unknown token, or its first: there must be something to read.
    """
    text = spell(target, [token])[token]
    ids = [key for key in draft.encode(text, add_special_tokens=False) if key < draft_width]
    known = (draft.unk_token_id, draft.bos_token_id, draft.eos_token_id, 0)
    return tuple(ids) or (next(key for key in known if key is not None),)
