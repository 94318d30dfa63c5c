"""Which heads a search finds: places, limits of measures, and words of the strongest text."""

import re

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend import MEASURED, HeadCorpus, UserError

_LIMIT = re.compile(rf"({'|'.join(MEASURED)})([<>])(\d*\.?\d+)")
_PLACE = re.compile(r"(layer|head)=(\d{1,4})")
EXAMPLE = "sink>0.5 layer=17 words"
"""Finds heads of the default model."""


def found(corpus: HeadCorpus, wanted: str, measure: int) -> NDArray[np.bool_]:
    """Return [L, H] which heads fit all terms of a search.

    Args:
        corpus: a measurement.
        wanted: terms with spaces between: ``sink>0.5``, ``layer=3``, ``head=5``, or a word that the
            head's strongest text must have.
        measure: number of the measure whose strongest text is meant.

    Raises:
        UserError: if a term has a sign of comparison and cannot be read.
    """
    fits: NDArray[np.bool_] = np.isfinite(corpus.mean[measure])
    places = dict(zip(("layer", "head"), np.indices(fits.shape), strict=True))
    for term in wanted.lower().split():
        if match := _LIMIT.fullmatch(term):
            name, sign, number = match.groups()
            mean = corpus.mean[MEASURED.index(name)]
            fits &= mean > float(number) if sign == ">" else mean < float(number)
        elif match := _PLACE.fullmatch(term):
            fits &= places[match[1]] == int(match[2])
        elif set(term) & set("<>="):
            raise UserError(
                f"{term} is no term of a search: write as in '{EXAMPLE}', measures are "
                f"{', '.join(MEASURED)}"
            )
        else:
            has = np.array([term in text.lower() for text in corpus.about.texts])
            strongest = corpus.strongest[measure]
            fits &= (strongest >= 0) & has[strongest]
    return fits
