"""Model folders that are damaged or were made to do harm: one small model, changed by a seed."""

import json
import os
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DEEP = 100_000
Change = Callable[[Path], None]

ODD_JSON = [
    "[]",
    "null",
    "1",
    '"x"',
    "{",
    "",
    "NaN",
    "[" * DEEP,
    '{"a":' * DEEP,
    "[" * DEEP + "]" * DEEP,
    '{"a":' * DEEP + "1" + "}" * DEEP,
    "\ufeff{}",
    '{"a": "\\ud800"}',
    "9" * 10_000,
]
ODD_VALUES = [None, True, 0, -1, 2**70, 1.5, float("nan"), "x", "", [], [1], [[]], {}, {"a": 1}]
ODD_INDICES = [
    [],
    None,
    {},
    *({"weight_map": odd} for odd in ([], "x", 1, {"a": 1}, {"a": []}, {"a": "x", "b": 2})),
    *(
        {"weight_map": {"a": name}}
        for name in ("/etc/passwd", "../../x", "..", "", "a/b", "a\\b", "\0", "C:x", "\ud800")
    ),
]
"""Contents of model.safetensors.index.json."""
CONFIGS = [
    {"text_config": []},
    {"text_config": "x"},
    {"model_type": []},
    {"model_type": {}},
    {"quantization_config": "x"},
    {"quantization_config": ["quant_method"]},
    {"quantization_config": {"quant_method": []}},
    {"num_attention_heads": 0},
    {"num_key_value_heads": 0},
    {"vocab_size": 0},
    {"hidden_size": 0},
    {"num_hidden_layers": -1},
    {"num_hidden_layers": 0},
    {"hidden_act": "no such activation"},
    {"hidden_act": []},
    {"rope_parameters": {"rope_type": "linear", "factor": "x", "rope_theta": 1e4}},
    {"rope_parameters": {"rope_type": "yarn", "factor": None, "rope_theta": 1e4}},
    {"rope_parameters": "x"},
    {"architectures": 5},
    {"dtype": "no such type"},
    {"auto_map": {"AutoConfig": "x--y.Z"}, "model_type": "mine"},
]
"""Changes to config.json."""
ENTRIES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]


def write_json(name: str, content: object) -> Change:
    """Return what puts a text, or a value as JSON, into a file."""
    text = content if isinstance(content, str) else json.dumps(content)
    return lambda folder: (folder / name).write_text(text, "utf-8") and None


def change_json(name: str, **values: object) -> Change:
    """Return what sets fields of a JSON file."""

    def change(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return change


def change_header(edit: Callable[[dict[str, Any]], object]) -> Change:
    """Return what changes the header of the weights; a returned value takes its place."""

    def change(folder: Path) -> None:
        file = folder / "model.safetensors"
        content = file.read_bytes()
        length = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8 : 8 + length])
        made = edit(header)
        text = made if isinstance(made, str) else json.dumps(header if made is None else made)
        raw = text.encode()
        file.write_bytes(struct.pack("<Q", len(raw)) + raw + content[8 + length :])

    return change


def first(header: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of the first tensor."""
    entry: dict[str, Any] = next(found for name, found in header.items() if name != "__metadata__")
    return entry


HEADERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "overlap": lambda header: first(header).update(
        data_offsets=[n + 4 for n in first(header)["data_offsets"]]
    ),
    "dtype": lambda header: first(header).update(dtype="F13"),
    "dtype list": lambda header: first(header).update(dtype=[]),
    "shape negative": lambda header: first(header).update(shape=[-1, 5]),
    "shape huge": lambda header: first(header).update(shape=[2**62, 2**62]),
    "shape text": lambda header: first(header).update(shape="x"),
    "shape gone": lambda header: first(header).pop("shape") and None,
    "offsets gone": lambda header: first(header).pop("data_offsets") and None,
    "offsets reversed": lambda header: first(header).update(
        data_offsets=first(header)["data_offsets"][::-1]
    ),
    "offsets one": lambda header: first(header).update(data_offsets=[0]),
    "entry": lambda header: header.update(more=5),
    "list": lambda _: [],
    "text": lambda _: "xxx",
    "deep": lambda _: '{"a":' * DEEP,
    "null": lambda _: "null",
}
"""Changes to the header of model.safetensors."""


def short() -> Iterator[tuple[str, Change]]:
    """Return the named changes, each of another kind."""
    for number, content in enumerate(ODD_JSON):
        for name in ENTRIES[: 4 if number % 5 == 0 else 1]:
            yield f"{name} {number}", write_json(name, content)
    for number, index in enumerate(ODD_INDICES):
        yield f"index {number}", write_json("model.safetensors.index.json", index)
    for number, config in enumerate(CONFIGS):
        yield f"config {number}", change_json("config.json", **config)
    for name, edit in HEADERS.items():
        yield f"header {name}", change_header(edit)
    for name in ("model.safetensors", *ENTRIES, "vocab.json", "chat_template.jinja"):
        yield f"pipe {name}", _pipe(name)
        yield f"device {name}", _link(name, "/dev/zero")
        yield f"folder {name}", _folder(name)
        yield f"loop {name}", _link(name, name)


def drawn(seed: int, count: int) -> Iterator[tuple[str, Change]]:
    """Return changes drawn at random: a field of a JSON file, or bytes of a file."""
    draw = random.Random(seed)
    for number in range(count):
        kind, name = draw.choice(("field", "bytes", "cut")), draw.choice(ENTRIES[:1] + ENTRIES)
        if kind == "field":
            yield f"{seed}/{number} field of {name}", _odd_field(name, draw.random())
        else:
            files = [*ENTRIES, "model.safetensors"]
            yield f"{seed}/{number} {kind}", _spoil(draw.choice(files), kind, draw.random())


def copy(model: Path, folder: Path) -> Path:
    """Copy a saved model, to be changed."""
    shutil.copytree(model, folder)
    return folder


def _replace(folder: Path, name: str) -> Path:
    (folder / name).unlink(missing_ok=True)
    return folder / name


def _pipe(name: str) -> Change:
    return lambda folder: os.mkfifo(_replace(folder, name))


def _link(name: str, target: str) -> Change:
    return lambda folder: _replace(folder, name).symlink_to(target)


def _folder(name: str) -> Change:
    return lambda folder: _replace(folder, name).mkdir()


def _odd_field(name: str, seed: float) -> Change:
    def change(folder: Path) -> None:
        draw = random.Random(seed)
        content = json.loads((folder / name).read_text())
        place = content
        while True:
            key = draw.choice(sorted(place)) if place else "new"
            inner = place.get(key)
            if not isinstance(inner, dict) or draw.random() < 0.5:
                break
            place = inner
        place[key] = draw.choice(ODD_VALUES)
        (folder / name).write_text(json.dumps(content))

    return change


def _spoil(name: str, kind: str, seed: float) -> Change:
    def change(folder: Path) -> None:
        draw = random.Random(seed)
        content = bytearray((folder / name).read_bytes())
        at = draw.randrange(min(len(content), 3000))
        if kind == "cut":
            del content[at:]
        else:
            for place in range(at, min(at + draw.choice((1, 1, 4, 40)), len(content))):
                content[place] = draw.randrange(256)
        (folder / name).write_bytes(content)

    return change
