"""Whether two outputs of ``tests.frozen.make`` are the same, bit for bit.

``python -m tests.frozen.compare FOLDER_A FOLDER_B`` prints every difference and exits with 1 where
there is one. Nothing of the project is imported, so that outputs of two versions can be compared.
"""

import argparse
import hashlib
import json
import lzma
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Same = Callable[[Any, Any], bool]
SAME_IN_BOTH = ("kind", "request", "schema_version", "fingerprint", "owner", "pinned", "tables")


def recorded(source: Path) -> dict[str, Any]:
    """Return what is recorded of the runs of a frozen store."""
    found: dict[str, Any] = json.loads(lzma.decompress((source / "runs.json.xz").read_bytes()))
    return found


def flat(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return arrays by name, the columns of a table apart as ``table.column``."""
    found: Arrays = {}
    for name, array in arrays.items():
        if array.dtype.names is None:
            found[name] = np.asarray(array, order="C")
        else:
            found |= {f"{name}.{column}": np.array(array[column]) for column in array.dtype.names}
    return found


def described(array: NDArray[Any]) -> dict[str, Any]:
    """Return dtype, shape and the SHA-256 of the bytes of ``array``."""
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": digest}


def equal(one: Any, other: Any) -> bool:
    """Whether two single values of JSON are the same, NaN as itself; 1 is neither 1.0 nor true."""
    return type(one) is type(other) and json.dumps(one) == json.dumps(other)


def unlike(
    old: Any, new: Any, place: str, same: Same = equal, *, more_allowed: bool = False
) -> Iterator[str]:
    """Yield a line for each place where two values of JSON differ.

    Args:
        old: as recorded.
        new: as found.
        place: name of the value.
        same: compares single values.
        more_allowed: whether ``new`` may have names that ``old`` lacks.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            if name not in new:
                yield f"{place}.{name} is missing"
            elif name in old:
                yield from unlike(
                    old[name], new[name], f"{place}.{name}", same, more_allowed=more_allowed
                )
            elif not more_allowed:
                yield f"{place}.{name} is new"
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from unlike(one, other, f"{place}[{number}]", same, more_allowed=more_allowed)
    elif not same(old, new):
        yield f"{place}: {_short(old)} became {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}..."


def unlike_arrays(old: NDArray[Any], new: NDArray[Any], place: str) -> Iterator[str]:
    """Yield a line if two arrays are not the same bit for bit."""
    if (old.dtype, old.shape) != (new.dtype, new.shape):
        yield f"{place}: {old.dtype} {old.shape} became {new.dtype} {new.shape}"
    elif old.tobytes() != new.tobytes():
        # A bit pattern may differ where the values are equal: -0.0 and 0.0, or two NaN.
        other = old != new
        if old.dtype.kind == "f":
            other &= ~(np.isnan(old) & np.isnan(new))
        numbers = [side[other].astype(np.float64) for side in (old, new)]
        most = np.max(np.abs(numbers[0] - numbers[1]), initial=0)
        yield f"{place}: {np.count_nonzero(other)} of {old.size} values differ, by {most:.3g} most"


def differences(folder_a: Path, folder_b: Path) -> Iterator[str]:
    """Yield a line for each difference between two outputs, named timings left out."""
    a, b = (json.loads((f / "runs.json").read_text("utf-8")) for f in (folder_a, folder_b))
    for name in sorted(a["runs"].keys() ^ b["runs"].keys()):
        yield f"{name} is in {folder_a if name in a['runs'] else folder_b} only"
    for name in sorted(a["runs"].keys() & b["runs"].keys()):
        one, other = a["runs"][name], b["runs"][name]
        known = [side["not_deterministic"].get(one["kind"], ()) for side in (a, b)]
        left_out = set().union(*known)
        for part in SAME_IN_BOTH:
            yield from unlike(one[part], other[part], f"{name}: {part}")
        if one["environment"]["versions"] == other["environment"]["versions"]:  # part of some keys
            yield from unlike(one["key"], other["key"], f"{name}: key")
        facts = [without(side["facts"], left_out) for side in (one, other)]
        yield from unlike(*facts, f"{name}: facts")
        old, new = (load(folder / f"{name}.npz") for folder in (folder_a, folder_b))
        for array in sorted(old.keys() ^ new.keys()):
            yield f"{name}: {array} is in {folder_a if array in old else folder_b} only"
        for array in sorted(old.keys() & new.keys()):
            place = f"{name}: {array}"
            if array not in left_out:
                yield from unlike_arrays(old[array], new[array], place)
            elif (old[array].dtype, old[array].shape) != (new[array].dtype, new[array].shape):
                yield f"{place}: another dtype or shape"


def without(values: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """Return ``values`` but those of ``names``."""
    return {name: value for name, value in values.items() if name not in names}


def load(path: Path) -> Arrays:
    """Return the arrays of one file."""
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def main() -> int:
    """Print every difference; return 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder_a", type=Path)
    parser.add_argument("folder_b", type=Path)
    asked = parser.parse_args()
    found = list(differences(asked.folder_a, asked.folder_b))
    made = [json.loads((f / "runs.json").read_text("utf-8"))["made"] for f in vars(asked).values()]
    for line in unlike(*made, "made"):
        print(f"(not counted) {line}")  # noqa: T201
    for line in (*found, f"{len(found)} differences"):
        print(line)  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
