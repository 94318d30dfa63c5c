"""What each token of a vocabulary reads as, alone.

A tokenizer's own ``decode`` strips leading spaces and replaces half characters by U+FFFD; a page
that shows single tokens needs neither, so the vocabulary entry itself is read here.
"""

import codecs
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


def _as_hexadecimal(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    broken = error.object[error.start : error.end]
    return "".join(f"<0x{byte:02X}>" for byte in broken), error.end


codecs.register_error("tokenarium_hexadecimal", _as_hexadecimal)


def spell(tokenizer: "PreTrainedTokenizerFast", ids: Iterable[int]) -> dict[int, str]:
    """Return the text of each id decoded alone.

    Args:
        tokenizer: a fast tokenizer.
        ids: any ids; those outside the vocabulary read ``<id N>``.
    Returns: text by id. Bytes that form no whole character read ``<0xNN>``; spaces and control
        characters are kept as they are.
    """
    wanted = sorted(set(ids))
    added = {key: str(token) for key, token in tokenizer.added_tokens_decoder.items()}
    stages = _decoder_stages(tokenizer)
    known = len(tokenizer)
    inside = [key for key in wanted if key < known and key not in added]
    pieces = dict(zip(inside, tokenizer.convert_ids_to_tokens(inside), strict=True))
    spelled: dict[int, str] = {}
    others = []
    for key in wanted:
        piece = pieces.get(key)
        if key in added:
            spelled[key] = added[key]
        elif piece is None:
            spelled[key] = f"<id {key}>"
        elif "ByteLevel" in stages:
            spelled[key] = _from_byte_alphabet(piece)
        elif stages & {"ByteFallback", "Metaspace", "Replace"}:
            spelled[key] = _from_sentencepiece(piece)
        else:
            others.append(key)
    if others:
        texts = tokenizer.backend_tokenizer.decode_batch([[key] for key in others])
        spelled.update(zip(others, texts, strict=True))
    return spelled


def spelled_bytes(tokenizer: "PreTrainedTokenizerFast", ids: Iterable[int]) -> dict[int, bytes]:
    """Return the bytes of each id decoded alone; arguments as of ``spell``."""
    return {
        key: b"".join(
            bytes([int(part, 16)]) if place % 2 else part.encode()
            for place, part in enumerate(_BYTE_TOKEN.split(text))
        )
        for key, text in spell(tokenizer, ids).items()
    }


def special_names(tokenizer: "PreTrainedTokenizerFast") -> tuple[str, ...]:
    """Return how the special tokens are written, in order of their ids."""
    return tuple(
        str(token)
        for _, token in sorted(tokenizer.added_tokens_decoder.items())
        if token.special and str(token)
    )


def special_ids(tokenizer: "PreTrainedTokenizerFast") -> frozenset[int]:
    """Return the ids of the special tokens."""
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(key for key, token in added if token.special)


def _decoder_stages(tokenizer: "PreTrainedTokenizerFast") -> set[str]:
    decoder = tokenizer.backend_tokenizer.decoder
    if decoder is None:
        return set()
    state = json.loads(decoder.__getstate__())
    return {stage["type"] for stage in state.get("decoders", [state])}


@lru_cache(maxsize=1)
def byte_alphabet() -> dict[str, int]:
    """Return the byte each character of a byte-level vocabulary stands for.

    Printable bytes stand for themselves and the rest, in order, for the characters from U+0100
    (Radford et al., 2019).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    own = {chr(byte): byte for byte in printable}
    return own | {chr(0x100 + place): byte for place, byte in enumerate(rest)}


def _from_byte_alphabet(piece: str) -> str:
    alphabet = byte_alphabet()
    if any(character not in alphabet for character in piece):
        return piece
    return bytes(alphabet[character] for character in piece).decode(
        "utf-8", "tokenarium_hexadecimal"
    )


def _from_sentencepiece(piece: str) -> str:
    byte = _BYTE_TOKEN.fullmatch(piece)
    if byte is None:
        return piece.replace("▁", " ")
    return bytes([int(byte[1], 16)]).decode("utf-8", "tokenarium_hexadecimal")
