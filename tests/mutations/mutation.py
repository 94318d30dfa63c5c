"""A fault: a few words of the program replaced by others."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One fault, and the tests that are there to find it."""

    name: str
    file: str
    before: str
    """Text that stands in the file once."""
    after: str
    tests: tuple[str, ...]
    """Files under ``tests``."""

    def applied(self, text: str) -> str:
        """Return the file's text with the fault.

        Raises:
            ValueError: unless ``before`` stands in it exactly once.
        """
        if text.count(self.before) != 1:
            raise ValueError(
                f"{self.name}: {self.before!r} stands {text.count(self.before)} times in "
                f"{self.file}: write the mutation anew for what the file says now"
            )
        return text.replace(self.before, self.after)
