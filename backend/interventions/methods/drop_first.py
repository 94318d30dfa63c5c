"""Read the text without its first token."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.interventions.declaration import Acts, Edited, Intervention

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel


class DropFirst(Intervention):
    """The next token becomes the first, at position 0."""

    slug: ClassVar[str] = "drop_first"
    title: ClassVar[str] = "Drop the first token"
    explanation: ClassVar[str] = (
        "Reads the text without its first token, to see whether heads rest on that token or on "
        "whatever comes first."
    )
    paper: ClassVar[str] = "Gu et al., 2024, arXiv:2410.10781"
    differs: ClassVar[str] = "positions move up by one, as for a text that begins one token later"
    acts: ClassVar[Acts] = "edit"

    def edit(self, loaded: "LoadedModel", ids: list[int]) -> Edited:
        """Leave the first of ``ids`` out."""
        if len(ids) < 2:
            raise ValueError(
                "the text has 1 token, and without it there is nothing to read: give at least 2"
            )
        return Edited(ids[1:], list(range(1, len(ids))))
