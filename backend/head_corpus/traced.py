"""What one trace says about every head, by the same definitions in a corpus and on the page."""

import numpy as np

from tokenarium.backend.analysis.taxonomy import MEASURES, HeadEvidence
from tokenarium.backend.head_corpus.corpus import MEASURED, Floats
from tokenarium.backend.trace.result import TraceResult

OF_COPIES = ("echo", "induction")
"""Measured on a text's own repeated tokens, which a trace says nothing about."""


def trace_measures(result: TraceResult) -> dict[str, Floats]:
    """Return the measures that one trace gives, [L, H] each, as the Heads view computes them."""
    found = {}
    for name in MEASURED:
        if name not in OF_COPIES:
            values = MEASURES[name].compute(HeadEvidence(result))
            assert values is not None
            found[name] = np.asarray(values, np.float32)
    return found
