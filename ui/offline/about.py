"""What stands around the views: title, prompt, model, seed, when, and how to compute it again."""

from collections.abc import Sequence
from pprint import pformat
from typing import Any

from tokenarium.backend import Run, lab_lines
from tokenarium.ui.components.sentence import facts_of
from tokenarium.ui.text import escape

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src data: blob:"
)
"""A browser that heeds it asks nobody for anything, whatever is in the file."""
TITLES = {
    "trace": "A text read by",
    "cache": "A text under KV-cache policies, by",
    "point": "A text under KV-cache policies, by",
    "speculate": "A text guessed ahead, by",
    "sweep": "KV-cache policies at several budgets, by",
    "edit": "A prompt edited, its cache used again, by",
    "decode": "A text written step by step, by",
    "attribute": "What made a token likely, for",
    "patch": "Two prompts patched into each other, read by",
    "ablate": "Parts cut out of",
    "reduce": "Computing less, by",
    "judge": "A text judged by",
    "audit": "A text of another engine, read by",
    "tokenize": "What a text is cut into",
    "next_byte": "Exact and naive next bytes, by",
    "characters": "Letters of words, asked of",
    "new_tokens": "Words as new single tokens of",
    "import": "What another engine reports",
    "logprobs": "A response with log probabilities",
}


def head(name: str, style: str) -> str:
    """Return the beginning of the document ``name`` up to its body, with all styles."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)} · Tokenarium</title><style>{style}</style></head><body>"
    )


def title(run: Run) -> str:
    """Return the heading of a run's page."""
    model = getattr(run.request, "model", "")
    said = TITLES.get(run.request.kind, f"Run of kind {run.request.kind}, by")
    return f"{said} {model}".removesuffix(", by ").rstrip()


def header(run: Run, sentence: str) -> str:
    """Return heading, what the run shows, and what was asked."""
    asked: Any = run.request
    facts = [
        ("model", getattr(asked, "model", "")),
        ("seed", str(getattr(asked, "seed", ""))),
        ("computed", f"{run.created:%Y-%m-%d %H:%M}"),
        ("Tokenarium", str(run.environment.get("tokenarium", ""))),
    ]
    said = " · ".join(f"{name} {escape(value)}" for name, value in facts if value)
    prompt = str(getattr(asked, "given_text", ""))
    quoted = f'<blockquote tabindex="0" aria-label="Prompt">{escape(prompt)}</blockquote>'
    return heading(title(run), said, f"{sentence}{quoted if prompt else ''}")


def heading(name: str, facts: str, more: str) -> str:
    """Return what stands over the views; ``facts`` and ``more`` are HTML."""
    return (
        f'<header><h1>{escape(name)}</h1><p class="tk-sub">{facts}</p>{more}'
        '<noscript><p class="tk-status">The views need JavaScript; the tables do not.</p>'
        "</noscript>"
        '<p class="tk-wait tk-sub" role="status"></p></header>'
    )


def foot(run: Run) -> str:
    """Return how the run was made, and the lines of Python that compute it again."""
    asks = f"from tokenarium import {type(run.request).__name__}\n{lab_lines([run.request])}"
    return ending(f"{asks}\nrun = lab.run({_asked(run)})", facts_of(run))


def foot_of(runs: Sequence[Run]) -> str:
    """Return the same of runs beside each other."""
    names = ", ".join(sorted({type(run.request).__name__ for run in runs}))
    asked = "".join(f"    lab.run({_asked(run)}),\n" for run in runs)
    asks = f"from tokenarium import {names}\n{lab_lines([run.request for run in runs])}"
    code = f"{asks}\nruns = [\n{asked}]\nfound = lab.compare([run.id for run in runs])"
    return ending(code, "".join(map(facts_of, runs)))


def ending(code: str, facts: str) -> str:
    """Return what stands under the views; ``facts`` is HTML."""
    return (
        "<footer><details><summary>Compute it again</summary>"
        f'<pre tabindex="0">{escape(code)}</pre></details>{facts}'
        '<p class="tk-sub">Made with Tokenarium. This file works without a network; '
        "← → go through it, j k change the layer, [ ] the head.</p></footer>"
    )


def _asked(run: Run) -> str:
    name = type(run.request).__name__
    values = run.request.model_dump(mode="json", exclude={"kind"})
    return f"lab.request({name}, **{pformat(values, sort_dicts=False, width=88)})"
