"""What opens at a number of a text under its tokenizers: cut for the page, and stored nowhere."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode

from tokenarium.backend import Lab, Run, SegmenterSpec, TokenizeRequest, UserError
from tokenarium.ui.why.explain import of_result

OF = "cut:"
"""Before what was cut and by what, where numbers of a run have its id."""


def cut_name(text: str, names: tuple[str, ...]) -> str:
    """Return what stands for a text under tokenizers where other numbers have their run's id."""
    return OF + urlencode({"text": text, "with": names}, doseq=True)


def cut_run(lab: Lab, text: str, names: tuple[str, ...]) -> Run:
    """Return a text under tokenizers as a run, which is in no store: files are made of it.

    Raises:
        UserError: if there is no such tokenizer.
    """
    begun = time.perf_counter()
    native = (SegmenterSpec(slug="native"),)
    request = lab.request(TokenizeRequest, text=text, tokenizers=names, segmenters=native)
    result = lab.tokenizers.tokenize(request)
    taken_ms = 1e3 * (time.perf_counter() - begun)
    return Run("tokens", request, result, datetime.now(UTC), taken_ms, {}, cached=False)


def explained_cut(lab: Lab, query: str, written: str) -> Mapping[str, str]:
    """Return what a number of a cut text is, with the same parts as ``explained``.

    Args:
        lab: that has the tokenizers.
        query: what follows ``OF``, as the browser sends it.
        written: ``Source.written()``.

    Raises:
        UserError: if there is no such tokenizer, number or place.
    """
    asked = parse_qs(query, keep_blank_values=True)
    text, names = asked.get("text", [""])[-1], tuple(asked.get("with", ()))
    if not text or not names:
        raise UserError("this number names no text and no tokenizer: press one on the page")
    run = cut_run(lab, text, names)

    def python(expression: str) -> str:
        return "\n".join(
            (
                "from tokenarium import Lab, TokenizeRequest",
                "",
                "lab = Lab()",
                f"request = lab.request(TokenizeRequest, text={text!r}, tokenizers={names!r})",
                "result = lab.tokenizers.tokenize(request)",
                f"print({expression})",
            )
        )

    return {**of_result(run, written, python), "note": ""}
