"""A tokenizer of tiktoken read from its file of tokens and ranks; nothing is ever fetched.

Such a file has a line per token, its bytes in base64 and its rank; it says neither merges nor how a
text is split. The merges are recovered, and the rest is that of the encoding the file is named by.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.models.spelling import byte_alphabet

SUFFIX = ".tiktoken"
MOST_TOKENS = 1_000_000
MOST_WORK = 100_000_000
"""Squares of the bytes of all tokens, added up: o200k_base has about a tenth."""

_END = "<|endoftext|>"
_MIDDLES = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
_SPACES = r"\s+(?!\S)|\s+"
_GPT2 = rf"'(?:[sdmt]|ll|ve|re)| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|{_SPACES}"
_CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    rf"|\s+\z|\s*[\r\n]+|{_SPACES}"
)
_BEGINS, _GOES_ON = (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]")
_ENDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_BEGINS}*{_GOES_ON}+{_ENDS}"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_BEGINS}+{_GOES_ON}*{_ENDS}"
    rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|{_SPACES}"
)


@dataclass(frozen=True)
class Encoding:
    """What a file of ranks does not say."""

    pattern: str
    """Regular expression of pre-tokens, as Oniguruma reads it."""
    special: Mapping[str, int]
    """Ids of special tokens."""


ENCODINGS: Mapping[str, Encoding] = {
    "gpt2": Encoding(_GPT2, {_END: 50256}),
    "r50k_base": Encoding(_GPT2, {_END: 50256}),
    "p50k_base": Encoding(_GPT2, {_END: 50256}),
    "p50k_edit": Encoding(
        _GPT2, {_END: 50256, **{name: 50281 + n for n, name in enumerate(_MIDDLES)}}
    ),
    "cl100k_base": Encoding(
        _CL100K,
        {_END: 100257}
        | {name: 100258 + n for n, name in enumerate(_MIDDLES)}
        | {"<|endofprompt|>": 100276},
    ),
    "o200k_base": Encoding(_O200K, {_END: 199999, "<|endofprompt|>": 200018}),
}
"""By name, as tiktoken 0.14 declares them."""


def tokenizer_json(content: bytes, stem: str) -> str:
    """Return the tokenizer.json that cuts as tiktoken does.

    Args:
        content: of the file.
        stem: its name without ``.tiktoken``, with the name of exactly one encoding in it.

    Raises:
        ModelRefused: if the name says no encoding, or the content is no such file.
    """
    encoding = encoding_of(stem)
    ranks = ranks_of(content, stem)
    for name, key in encoding.special.items():
        if key in ranks.values():
            raise ModelRefused(
                f"{stem}{SUFFIX} has a token of rank {key}, which is {name} in this encoding: name "
                f"the file by the encoding that it is of ({', '.join(ENCODINGS)})"
            )
    spelled = {token: _entry(token) for token in ranks}
    merges = [
        [spelled[part] for part in pair]
        for token in sorted(ranks, key=ranks.__getitem__)
        if (pair := merged_pair(token, ranks)) is not None
    ]
    model = {
        "type": "BPE",
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": True,  # a pre-token that is a token is never merged, in tiktoken too
        "vocab": {spelled[token]: rank for token, rank in ranks.items()} | dict(encoding.special),
        "merges": merges,
    }
    return json.dumps(_whole(model, encoding), ensure_ascii=False)


def encoding_of(stem: str) -> Encoding:
    """Return the encoding that a file is named by, such as ``cl100k_base`` or ``my_cl100k_base``.

    Raises:
        ModelRefused: if it names none, or several.
    """
    named = [name for name in ENCODINGS if name in stem.lower()]
    if len(named) != 1:
        raise ModelRefused(
            f"{stem[:80]}{SUFFIX} names {'no' if not named else 'more than one'} encoding of "
            "tiktoken, and a file of ranks does not say how a text is split: have exactly one of "
            f"{', '.join(ENCODINGS)} in the name of the file"
        )
    return ENCODINGS[named[0]]


def ranks_of(content: bytes, stem: str) -> dict[bytes, int]:
    """Return the rank of each token, of all single bytes too.

    Raises:
        ModelRefused: if a line is none of a token and its rank, a token or rank stands twice, or a
            single byte is missing, or it has more or longer tokens than are read.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split()
        try:
            token, rank = base64.b64decode(parts[0], validate=True), int(parts[1])
        except (IndexError, ValueError, binascii.Error):
            token, rank = b"", -1
        if len(parts) != 2 or not token or not 0 <= rank < 2**31 or token in ranks:
            raise ModelRefused(
                f"line {number:,} of {stem}{SUFFIX} is no token in base64 and its rank, each once: "
                "check that the file is whole"
            )
        ranks[token] = rank
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    work = sum(len(token) ** 2 for token in ranks)
    remedy = "check that the file is whole"
    if missing:
        raise ModelRefused(f"{stem}{SUFFIX} has no token for the byte {missing[0]:#04x}: {remedy}")
    if len(set(ranks.values())) < len(ranks):
        raise ModelRefused(f"{stem}{SUFFIX} has a rank twice: {remedy}")
    if len(ranks) > MOST_TOKENS or work > MOST_WORK:
        raise ModelRefused(
            f"{stem}{SUFFIX} has {len(ranks):,} tokens of up to {max(map(len, ranks)):,} bytes, "
            f"whose merges would take too long to find: at most {MOST_TOKENS:,} tokens are read, "
            f"and at most {MOST_WORK:,} for the squares of their bytes"
        )
    return ranks


def merged_pair(token: bytes, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes] | None:
    """Return the two tokens of which a token is merged; None of what merges never make.

    tiktoken merges whichever neighbours make the token of the lowest rank. Inside of what becomes
    one token it merges as if that stood alone, so that every token has one such pair: the last two
    parts on the way from its bytes. With the ranks ab 0, bc 1, abc 2, ``abc`` is ab + c.
    """
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        best, place = -1, -1
        for at in range(len(parts) - 1):
            rank = ranks.get(parts[at] + parts[at + 1], -1)
            if rank >= 0 and (best < 0 or rank < best):
                best, place = rank, at
        if place < 0:
            return None
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return (parts[0], parts[1]) if len(parts) == 2 else None


def _entry(token: bytes) -> str:
    return token.decode("latin-1").translate(_LETTERS)


_LETTERS = {byte: letter for letter, byte in byte_alphabet().items()}


def _whole(model: dict[str, Any], encoding: Encoding) -> dict[str, Any]:
    split = {
        "type": "Split",
        "pattern": {"Regex": encoding.pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": key, "content": name, "special": True, **plain}
            for name, key in sorted(encoding.special.items(), key=lambda each: each[1])
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split, level | {"use_regex": False}],
        },
        "post_processor": None,
        "decoder": level | {"use_regex": True},
        "model": model,
    }
