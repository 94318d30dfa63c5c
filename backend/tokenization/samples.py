"""Texts of several kinds that are at hand: this program's own lessons and source, and languages."""

from dataclasses import dataclass
from functools import cache

from tokenarium.backend.settings import PROJECT
from tokenarium.backend.tokenization.languages import parallel_text

LONGEST = 60_000
_KINDS = {
    "English": ("English: lessons of this program", "assets/lessons", "*.md"),
    "Python": ("Python: source of this program", "backend/tokenization", "*.py"),
    "JavaScript": ("JavaScript: source of this program", "assets/js", "*.js"),
}


@dataclass(frozen=True)
class Sample:
    """A text of one kind."""

    name: str
    title: str
    text: str


@cache
def own_samples() -> tuple[Sample, ...]:
    """Return three kinds of up to 60,000 characters, then the paragraph in each language.

    A paragraph has 500 to 1,900 bytes: little, so that what is found by it is uncertain.
    """
    found = []
    for name, (title, folder, files) in _KINDS.items():
        texts = (p.read_text(encoding="utf-8") for p in sorted((PROJECT / folder).glob(files)))
        found.append(Sample(name, title, "".join(texts)[:LONGEST]))
    return (
        *found,
        *(
            Sample(each.name, f"{each.name}: the shipped paragraph", each.text)
            for each in parallel_text()
            if each.code != "en"
        ),
    )
