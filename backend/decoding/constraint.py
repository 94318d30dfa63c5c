"""What a decoded text must be like: which beginnings can still be completed."""

from typing import ClassVar

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of


class Constraint(Method):
    """One constraint on the new text, from its first character on, a leading space included.

    ``viable`` never turns true again for a longer text: what cannot be completed stays so. One
    that lets a text end only after a full stop::

        class Sentence(Constraint):
            slug = "sentence"
            title = "One sentence"
            explanation = "Ends with the first full stop."

            def viable(self, text):
                return "." not in text[:-1]

            def complete(self, text):
                return text.endswith(".")
    """

    registry: ClassVar[Registry[type["Constraint"]]] = Registry(
        "constraint", modules_of("tokenarium.backend.decoding.constraints")
    )

    paper: ClassVar[str] = ""
    """Where it is from; empty where it is plain."""

    def viable(self, text: str) -> bool:
        """Return whether some text that begins so keeps the constraint."""
        raise NotImplementedError(f"{self.slug} does not say which beginnings are viable")

    def complete(self, text: str) -> bool:
        """Return whether the text keeps the constraint as it is, so that it may end."""
        raise NotImplementedError(f"{self.slug} does not say when a text is complete")

    def shortened(self, text: str) -> str:
        """Return a viable text after which the same may follow; the shorter, the quicker."""
        return text

    @property
    def characters(self) -> str:
        """The characters that its parameters name."""
        return "".join(own for own in vars(self).values() if isinstance(own, str))
