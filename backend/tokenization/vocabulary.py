"""A tokenizer without weights: the bytes of each token, its merges, and how it reads a text."""

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

from tokenarium.backend.models.spelling import byte_alphabet
from tokenarium.backend.runs.events import CancelToken, current_cancel
from tokenarium.backend.tokenization.engine import Engine

Spelling = Literal["byte_level", "sentencepiece", "wordpiece", "plain"]
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
MOST_ENTRIES = 2_000_000


@dataclass(frozen=True)
class Merge:
    """What a pair of tokens becomes."""

    rank: int
    """Place in the list of merges: the lowest is done first."""
    token: int


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of one tokenizer, V of them, and the tokenizer itself."""

    name: str
    """As asked for, such as ``bundled/target``."""
    title: str
    digest: str
    """SHA-256 of its tokenizer.json."""
    engine: Engine
    spelling: Spelling
    """How its entries write bytes."""
    entries: dict[int, str]
    """Entry of each id as the file has it, those that were added left out."""
    added: dict[int, str]
    """What special and added tokens read, by id; no segmenter but the native one gives them."""
    merge_list: tuple[tuple[str, str], ...] = field(repr=False)
    """Pairs of entries, the first merged first; empty where the tokenizer has none."""
    model: str
    """BPE, Unigram, WordPiece or WordLevel."""
    steps: dict[str, Any] = field(repr=False)
    """Normaliser and pre-tokeniser as declared in the file; None for none."""

    @cached_property
    def spelled(self) -> dict[int, bytes]:
        """Bytes of each token, by id, of added ones too."""
        added = {key: text.encode() for key, text in self.added.items()}
        return added | {key: self.bytes_of(entry) for key, entry in self.entries.items()}

    @cached_property
    def by_bytes(self) -> dict[bytes, int]:
        """Id by bytes; where several tokens have the same, the one that is no single-byte entry."""
        found: dict[bytes, int] = {}
        for key in self.entries:
            spelled = self.spelled[key]
            if not spelled:
                continue
            taken = found.get(spelled)
            if taken is None or _BYTE_TOKEN.fullmatch(self.entries[taken]):
                found[spelled] = key
        return found

    @cached_property
    def longest(self) -> int:
        """Bytes of the longest token."""
        return max(map(len, self.by_bytes), default=0)

    @cached_property
    def merges(self) -> dict[tuple[int, int], Merge]:
        """What each pair of ids becomes, in BPE."""
        ids = {entry: key for key, entry in self.entries.items()}
        found: dict[tuple[int, int], Merge] = {}
        cancel = current_cancel() or CancelToken()  # half a million merges take seconds
        for rank, (left, right) in enumerate(self.merge_list):
            if not rank % 4_096:
                cancel.check()
            whole = ids.get(left + right)
            if left in ids and right in ids and whole is not None:
                found.setdefault((ids[left], ids[right]), Merge(rank, whole))
        return found

    @cached_property
    def rank_of(self) -> dict[int, int]:
        """Rank of the merge that makes a token, by id; what no merge makes is not there."""
        found: dict[int, int] = {}
        for merge in self.merges.values():
            found[merge.token] = min(merge.rank, found.get(merge.token, merge.rank))
        return found

    def bytes_of(self, entry: str) -> bytes:
        """Return the bytes that an entry, or a pre-token, stands for."""
        if self.spelling == "byte_level":
            alphabet = byte_alphabet()
            if all(character in alphabet for character in entry):
                return bytes(alphabet[character] for character in entry)
            return entry.encode()
        if self.spelling == "sentencepiece":
            if byte := _BYTE_TOKEN.fullmatch(entry):
                return bytes([int(byte[1], 16)])
            return entry.replace("▁", " ").encode()
        if self.spelling == "wordpiece":
            return entry.removeprefix("##").encode()
        return entry.encode()

    def symbols(self, piece: bytes) -> list[int]:
        """Return the tokens that BPE begins with: characters, or bytes where one is unknown.

        Raises:
            ValueError: if the vocabulary lacks one of them.
        """
        by_byte = self.spelling == "byte_level"
        parts = [piece[i : i + 1] for i in range(len(piece))] if by_byte else _characters(piece)
        found: list[int] = []
        for part in parts:
            whole = self.by_bytes.get(part)
            found += [whole] if whole is not None else self.single_bytes(part)
        return found

    def single_bytes(self, piece: bytes) -> list[int]:
        """Return one token per byte.

        Raises:
            ValueError: if the vocabulary lacks one of them.
        """
        found = [self.by_byte.get(byte) for byte in piece]
        if None in found:
            raise ValueError(
                f"{self.title} has no token for the byte {piece[found.index(None)]:#04x}: choose "
                "the segmenter native, or a tokenizer with all bytes"
            )
        return found  # type: ignore[return-value]

    @cached_property
    def by_byte(self) -> dict[int, int]:
        """Id of the token of each single byte; one of SentencePiece's fallback comes first."""
        found = {spelled[0]: key for spelled, key in self.by_bytes.items() if len(spelled) == 1}
        for key, entry in self.entries.items():
            if self.spelling == "sentencepiece" and (byte := _BYTE_TOKEN.fullmatch(entry)):
                found[int(byte[1], 16)] = key
        return found

    def is_fallback(self, key: int) -> bool:
        """Return whether a token is a byte that is no character alone."""
        spelled = self.spelled.get(key, b"")
        if self.spelling == "sentencepiece":
            return bool(_BYTE_TOKEN.fullmatch(self.entries.get(key, "")))
        try:
            spelled.decode()
        except UnicodeDecodeError:
            return True
        return False


def vocabulary_of(state: str, name: str, title: str, engine: Engine) -> Vocabulary:
    """Return the vocabulary of a tokenizer.json.

    Args:
        state: its text.
        name: as asked for.
        title: for people.
        engine: what reads texts with it.

    Raises:
        ValueError: if it is none.
    """
    try:
        whole = json.loads(state)
        model = whole["model"]
        entries, merges = _entries(model), _merges(model)
        added = {int(t["id"]): str(t["content"]) for t in whole.get("added_tokens") or ()}
        stages = _stages(whole.get("decoder"))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{title} is no tokenizer.json that can be read ({type(error).__name__}): give one "
            "that the tokenizers library has written"
        ) from error
    if len(entries) > MOST_ENTRIES:
        raise ValueError(f"{title} has {len(entries):,} entries: at most {MOST_ENTRIES:,} are read")
    return Vocabulary(
        name=name,
        title=title,
        digest=sha256(state.encode()).hexdigest(),
        engine=engine,
        spelling=_spelling(stages, whole),
        entries={key: entry for entry, key in entries.items() if key not in added},
        added=added,
        merge_list=merges,
        model=str(model.get("type") or ("BPE" if merges else "WordLevel")),
        steps={step: whole.get(step) for step in ("normalizer", "pre_tokenizer")},
    )


def _entries(model: dict[str, Any]) -> dict[str, int]:
    listed = model["vocab"]
    if isinstance(listed, list):  # Unigram: entries with their log probability, by id
        return {str(entry): key for key, (entry, _) in enumerate(listed)}
    return {str(entry): int(key) for entry, key in listed.items()}


def _merges(model: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in model.get("merges", ()))
    return tuple((left, right) for left, right in pairs)


def _stages(step: Any) -> set[str]:
    if not step:
        return set()
    inside = step.get("decoders") or step.get("pretokenizers") or step.get("normalizers") or [step]
    return {str(stage["type"]) for stage in inside}


def _spelling(decoder: set[str], whole: dict[str, Any]) -> Spelling:
    if "ByteLevel" in decoder or "ByteLevel" in _stages(whole.get("pre_tokenizer")):
        return "byte_level"
    if decoder & {"ByteFallback", "Metaspace", "Replace"}:
        return "sentencepiece"
    return "wordpiece" if "WordPiece" in decoder else "plain"


def _characters(piece: bytes) -> list[bytes]:
    return [character.encode() for character in piece.decode("utf-8", "surrogateescape")]
