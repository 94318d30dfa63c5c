"""Tokenizers, chat templates and texts made to take for ever, to take all memory, or to break."""

import json
import random
from pathlib import Path
from typing import Any

STUCK = "a" * 60
"""A text for the tokenizers below."""

SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False}
STAGES: dict[str, dict[str, Any]] = {
    "catastrophic regex": {"pre_tokenizer": SPLIT | {"pattern": {"Regex": "(a+)+(a+)+(a+)+b"}}},
    "backreferences": {"pre_tokenizer": SPLIT | {"pattern": {"Regex": r"(a|aa)+(a|aa)+\1b"}}},
    "normaliser bomb": {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}]
            * 4,
        }
    },
    "two large steps": {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Replace", "pattern": {"Regex": "a"}, "content": "a" * 100_000}
            ]
            * 2,
        }
    },
    "decoder bomb": {
        "decoder": {
            "type": "Sequence",
            "decoders": [{"type": "Replace", "pattern": {"Regex": "."}, "content": "a" * 10_000}]
            * 3,
        }
    },
}
"""Parts of a tokenizer.json that take the place of its own."""
LOADED: dict[str, dict[str, Any]] = {
    "long regex": {"pre_tokenizer": SPLIT | {"pattern": {"Regex": "(a|b)?" * 2_000_000}}},
    "no regex": {"pre_tokenizer": SPLIT | {"pattern": {"Regex": "(((("}}},
    "no such stage": {"pre_tokenizer": {"type": "None of these"}},
    "no model": {"model": {}},
    "model of another shape": {"model": {"type": "BPE", "vocab": [], "merges": 5}},
    "ids past any": {"model": {"type": "WordLevel", "vocab": {"a": 2**32 - 1}, "unk_token": "a"}},
}
"""The same, refused when they are read."""
TEMPLATES = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "three gigabytes": "{{ 'a' * 3000000000 }}",
    "one long number": "{{ 9 ** (9 ** 9) }}",
    "padding": "{{ '%3000000000d' % 1 }}",
    "doubling": "{% set ns = namespace(a='a') %}{% for b in range(99) %}"
    "{% set ns.a = ns.a ~ ns.a %}{% endfor %}{{ ns.a }}",
    "division": "{{ 1 / 0 }}",
    "a sum of kinds": "{{ messages + 1 }}",
    "own refusal": "{{ raise_exception('pairs only') }}",
    "sandbox": "{{ messages.__class__.__mro__ }}",
    "no syntax": "{% for %}",
    "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "deep": "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
}


def write_stage(folder: Path, stage: dict[str, Any]) -> None:
    """Put a part into the tokenizer.json of a folder."""
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | stage))


def texts(seed: int, count: int) -> list[str]:
    """Return texts of odd characters, drawn at random."""
    draw = random.Random(seed)
    odd = ["\0", "\ufeff", "\u202e", "\u200d", "🦊", "é", "e\u0301", "\U0010ffff", "\x85", "\ufb03"]
    odd += ["<|bos|>", "<|eos|>", "<s>", "\r\n", "\t", " ", "a", "Z", "\u0663", "\u6f22", "\x7f"]
    return [
        "".join(draw.choice(odd) * draw.choice((1, 1, 2, 9)) for _ in range(draw.randrange(1, 40)))
        for _ in range(count)
    ]
