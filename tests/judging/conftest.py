"""The same tiny models as a trace is tested on, and passages made by hand."""

from collections.abc import Sequence

import numpy as np

from tests.trace.conftest import letters, twins
from tokenarium.backend.judging.measure import Measure
from tokenarium.backend.judging.passage import Passage, Rows

__all__ = ["letters", "passage_of", "twins"]


def passage_of(
    probs: Sequence[Sequence[float]], ids: Sequence[int], draws: int = 0, **rows: object
) -> Passage:
    """Return the passage of tokens whose distributions are known; the first id is only read.

    Args:
        probs: [n][V] distributions before tokens 1 .. n.
        ids: n + 1 of them.
        draws: how often other tokens are drawn.
    """
    law = np.asarray(probs, np.float64)
    chosen = np.asarray(ids[1:])
    with np.errstate(divide="ignore"):
        logs = np.log(law)
    known = np.where(law > 0, logs, 0)
    entropy = -(law * known).sum(1)
    draw = np.random.default_rng(0)
    drawn = np.array([[draw.choice(len(row), p=row) for row in law] for _ in range(draws)])
    drawn = drawn.reshape(draws, len(law)).astype(np.int32)
    places = np.arange(1, len(ids))
    return Passage(
        ids=np.asarray(ids, np.int64),
        texts=tuple(map(str, ids)),
        places=places,
        surprisal=-logs[np.arange(len(law)), chosen],
        entropy=entropy,
        varentropy=(law * (known + entropy[:, None]) ** 2).sum(1),
        drawn_ids=drawn,
        drawn_log_probs=logs[np.arange(len(law)), drawn].astype(np.float32),
        rows=rows,  # type: ignore[arg-type]
        seed=0,
    )


def rows_of(measure: Measure, probs: Sequence[Sequence[float]], ids: Sequence[int]) -> dict:
    """Return what a measure makes of whole distributions [n][V], as arrays."""
    import torch

    law = torch.tensor(probs, dtype=torch.float32)
    rows = Rows(law.log(), torch.tensor(ids[1:]), torch.arange(1, len(ids)))
    return {name: values.double().numpy() for name, values in measure.rows(rows).items()}
