"""Balanced brackets, as JSON has them."""

from pydantic import Field

from tokenarium.backend.decoding.constraint import Constraint

CLOSES = {"}": "{", "]": "["}


class Brackets(Constraint):
    """Curly and square brackets close what was opened last; those in strings do not count."""

    slug = "brackets"
    title = "Balanced brackets"
    explanation = (
        "Every curly and square bracket closes the one that was opened last, and the text ends "
        "only when all are closed; what stands in double quotes does not count."
    )

    deepest: int = Field(8, ge=1, le=64, description="Most brackets that are open at once.")

    def viable(self, text: str) -> bool:
        """Return whether no bracket is closed that is not open."""
        return self._open(text) is not None

    def complete(self, text: str) -> bool:
        """Return whether all are closed, and no string is open."""
        return self._open(text) == ""

    def shortened(self, text: str) -> str:
        """Return what is open."""
        open_ = self._open(text) or ""
        tail = text[len(text.rstrip("\\")) :] if open_.endswith('"') else ""
        return open_ + tail[: len(tail) % 2]

    def _open(self, text: str) -> str | None:
        """Return what is open, outermost first, a quote for a string; None where it is wrong."""
        open_, escaped = "", False
        for character in text:
            quoted = open_.endswith('"')
            if quoted:
                if character == '"' and not escaped:
                    open_ = open_[:-1]
                escaped = character == "\\" and not escaped
            elif character in '{["':
                open_ += character
                if len(open_.rstrip('"')) > self.deepest:
                    return None
            elif character in CLOSES:
                if not open_.endswith(CLOSES[character]):
                    return None
                open_ = open_[:-1]
        return open_
