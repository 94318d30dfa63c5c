"""The process that tokenises and fills templates: reads requests from stdin, answers on stdout.

It is started as a file, so that it imports ``tokenizers`` alone; ``transformers``, without torch,
comes only with the first chat template. Each request and each answer is one line of JSON.
"""

import base64
import contextlib
import itertools
import json
import os
import sys
from array import array
from typing import Any

from tokenizers import Tokenizer, trainers

MEMORY_BYTES = 2 * 2**30
"""Most address space of this process."""

_tokenizer: Tokenizer | None = None


def main() -> None:
    """Answer until the program that asks is gone."""
    _limit_memory()
    out = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin:
        asked = json.loads(line)
        _limit_time(asked.pop("cpu_s"))
        try:
            answer = {"ok": _DO[asked.pop("do")](**asked)}
        except MemoryError:
            answer = {"error": "", "memory": True}
        except BaseException as error:  # noqa: BLE001 - pyo3's PanicException is no Exception
            words = " ".join(str(error).split("Rendered chat:")[0].split())
            answer = {"error": words[:400], "kind": type(error).__name__}
        out.write(json.dumps(answer) + "\n")
        out.flush()


def packed(numbers: Any) -> str:
    """Return non-negative numbers below 2^32 as text."""
    return base64.b64encode(array("I", numbers).tobytes()).decode("ascii")


def unpacked(text: str) -> list[int]:
    """Return the numbers of ``packed``."""
    return array("I", base64.b64decode(text)).tolist()


def _try_file(file: str) -> None:
    """Read a tokenizer.json and forget it: whether that ends is all that is asked."""
    Tokenizer.from_file(file)


def _load(state: str) -> None:
    global _tokenizer
    _tokenizer = Tokenizer.from_str(state)
    _tokenizer.no_truncation()
    _tokenizer.no_padding()


def _encode(texts: list[str], added: bool, split: bool) -> list[dict[str, str]]:
    assert _tokenizer is not None
    _tokenizer.encode_special_tokens = split
    return [
        {
            "ids": packed(one.ids),
            "offsets": packed(itertools.chain.from_iterable(one.offsets)),
            "special": packed(one.special_tokens_mask),
        }
        for one in _tokenizer.encode_batch(texts, add_special_tokens=added)
    ]


def pre_tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    """Return the pre-tokens of a text: its parts, normalised, none of which a token goes beyond."""
    read = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    if not tokenizer.pre_tokenizer:
        return [read] if read else []
    return [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str(read)]


def _read(text: str) -> dict[str, Any]:
    """Return ids, their places and the pre-tokens of a text, nothing added to it."""
    assert _tokenizer is not None
    _tokenizer.encode_special_tokens = True
    found = _tokenizer.encode(text, add_special_tokens=False)
    pieces = pre_tokens(_tokenizer, text)
    return {"ids": found.ids, "offsets": found.offsets, "pieces": pieces}


def _ids(texts: list[str]) -> list[list[int]]:
    assert _tokenizer is not None
    _tokenizer.encode_special_tokens = True
    return [one.ids for one in _tokenizer.encode_batch(texts, add_special_tokens=False)]


def _train(core: str, trainer: str, options: dict[str, Any], lines: list[str]) -> str:
    """Train a tokenizer that is made ready, and return it as a tokenizer.json."""
    ready = Tokenizer.from_str(core)
    ready.train_from_iterator(lines, getattr(trainers, trainer)(**options))
    return str(ready.to_str())


def _decode(rows: list[str], skip: bool) -> list[str]:
    assert _tokenizer is not None
    return _tokenizer.decode_batch([unpacked(row) for row in rows], skip_special_tokens=skip)


def _fill(template: str, turns: list[dict[str, str]], options: dict[str, Any]) -> str:
    # Any version of transformers has it; its sandbox is the one that runs in process, too.
    from transformers.utils.chat_template_utils import render_jinja_template

    filled: Any = render_jinja_template([turns], chat_template=template, **options)
    return str(filled[0][0])


_DO: dict[str, Any] = {
    "try_file": _try_file,
    "load": _load,
    "encode": _encode,
    "read": _read,
    "ids": _ids,
    "train": _train,
    "decode": _decode,
    "fill": _fill,
}


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows, macOS
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _limit_time(cpu_s: float) -> None:
    """Have the kernel end this process once a request took so long, whoever still waits for it."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        most = int(used.ru_utime + used.ru_stime + cpu_s) + 1
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


if __name__ == "__main__":
    main()
