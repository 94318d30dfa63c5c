"""The measurement of a model's heads over many texts, and the two files that it is kept in."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.analysis.taxonomy import MEASURES

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
"""Raised when a measure's meaning changes; what an older version measured is not read."""
NUMBERS, ABOUT = "heads.npz", "heads.json"
SAID_OF_COPIES = {
    "echo": "mean attention to earlier copies of the same token, where it has any; a copy that is "
    "the first token is left out, as heads rest there",
    "induction": "mean attention to the tokens that followed earlier copies of the same token, "
    "where it has any",
}
"""What these two are here: in the text's own repeated tokens, not in random ones as the probe's."""
QUANTILES = (0.05, 0.5, 0.95)
MEASURED = ("sink", "previous", "self", "distance", "entropy", "echo", "induction")
"""Names of the measures, [M]; all but the last two are those of ``MEASURES``, of one trace."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class MeasuredOn:
    """What was measured, with what."""

    model: str
    fingerprint: str
    """SHA-256 over configuration, tokenizer and weights."""
    dtype: str
    device: str
    texts_digest: str
    """SHA-256 over the texts."""
    texts: tuple[str, ...]
    tokens: tuple[int, ...]
    """Of each text."""
    version: int = VERSION


@dataclass(frozen=True)
class HeadCorpus:
    """Every head of a model over N texts: M measures, L layers, H query heads.

    Statistics are of the texts in which a measure has a value. A head that a layer does not have,
    or that no text gave a value, is NaN.
    """

    about: MeasuredOn
    mean: Floats
    """[M, L, H]"""
    deviation: Floats
    """[M, L, H] standard deviation over texts, divided by n - 1; NaN for one text."""
    quantiles: Floats
    """[3, M, L, H] at ``QUANTILES``, linear between neighbours."""
    count: NDArray[np.int32]
    """[M, L, H] texts with a value, n."""
    strongest: NDArray[np.int32]
    """[M, L, H] index of the text with the largest value; -1 for none."""

    @classmethod
    def of(cls, about: MeasuredOn, values: Floats) -> "HeadCorpus":
        """Return the statistics of ``values`` [N, M, L, H], NaN where there is none."""
        known = np.isfinite(values)
        whole = values.astype(np.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # heads without a value stay NaN
            return cls(
                about,
                np.nanmean(whole, 0).astype(np.float32),
                np.nanstd(whole, 0, ddof=1).astype(np.float32),
                np.nanquantile(whole, QUANTILES, axis=0).astype(np.float32),
                known.sum(0, dtype=np.int32),
                np.where(known.any(0), np.where(known, values, -np.inf).argmax(0), -1).astype(
                    np.int32
                ),
            )

    def table(self) -> "pa.Table":
        """Return a row for every head and measure: its statistics, and the text it is strongest on.

        What has no value is null.
        """
        import pyarrow as pa

        measure, layer, head = np.indices(self.mean.shape).reshape(3, -1)
        texts = (*self.about.texts, None)  # -1 stands for none
        columns = {
            "layer": layer.astype(np.int32),
            "head": head.astype(np.int32),
            "measure": [MEASURED[at] for at in measure.tolist()],
            "mean": self.mean.ravel(),
            "deviation": self.deviation.ravel(),
            **{
                f"quantile_{at}": values.ravel()
                for at, values in zip(QUANTILES, self.quantiles, strict=True)
            },
            "n": self.count.ravel(),
            "strongest_text": [texts[at] for at in self.strongest.ravel().tolist()],
        }
        return pa.table(
            {
                name: pa.array(values, from_pandas=isinstance(values, np.ndarray))
                for name, values in columns.items()
            }
        )

    def save(self, folder: Path) -> None:
        """Write both files; a folder that is missing is made."""
        folder.mkdir(parents=True, exist_ok=True)
        numbers = {
            name: getattr(self, name)
            for name in ("mean", "deviation", "quantiles", "count", "strongest")
        }
        np.savez_compressed(folder / NUMBERS, **numbers)
        content = {**asdict(self.about), "measures": MEASURED, "quantiles": QUANTILES}
        text = json.dumps(content, ensure_ascii=False, indent=1)
        (folder / ABOUT).write_text(text + "\n", "utf-8")


def measure_title(measure: str) -> str:
    """Return a measure's title."""
    return f"{measure} in text" if measure in SAID_OF_COPIES else MEASURES[measure].title


def measure_definition(measure: str) -> str:
    """Return what a measure is the mean of."""
    return SAID_OF_COPIES.get(measure) or MEASURES[measure].definition


def read_about(folder: Path) -> MeasuredOn | None:
    """Return what a folder's measurement is of; None where there is none of this version."""
    try:
        content = json.loads((folder / ABOUT).read_text("utf-8"))
        if content["version"] != VERSION or tuple(content["measures"]) != MEASURED:
            return None
        fields = {name: content[name] for name in MeasuredOn.__dataclass_fields__}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    fields["texts"], fields["tokens"] = tuple(fields["texts"]), tuple(fields["tokens"])
    return MeasuredOn(**fields)


def read(folder: Path) -> HeadCorpus | None:
    """Return the measurement in a folder; None where there is none of this version."""
    about = read_about(folder)
    if about is None:
        return None
    try:
        with np.load(folder / NUMBERS, allow_pickle=False) as stored:
            return HeadCorpus(about, **{name: stored[name] for name in stored.files})
    except (OSError, ValueError, TypeError, BadZipFile):
        return None


def digest(texts: Sequence[str]) -> str:
    """Return the SHA-256 over texts and where each ends."""
    return sha256(json.dumps(list(texts)).encode()).hexdigest()
