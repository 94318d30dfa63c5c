"""Read the text with another first token."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.interventions.declaration import Acts, Edited, Intervention

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel


class SwapFirst(Intervention):
    """Everything after the first token stays where it is."""

    slug: ClassVar[str] = "swap_first"
    title: ClassVar[str] = "Swap the first token"
    explanation: ClassVar[str] = (
        "Puts another token in the first place, to see whether a sink belongs to the token or to "
        "its position."
    )
    paper: ClassVar[str] = "Gu et al., 2024, arXiv:2410.10781; Xiao et al., 2023, arXiv:2309.17453"
    acts: ClassVar[Acts] = "edit"

    text: str = Field(
        ".", max_length=100, description="The new first token as text; it must be one token."
    )
    token_id: int = Field(
        -1, ge=-1, description="Vocabulary number of the new first token; -1 takes the text."
    )

    def edit(self, loaded: "LoadedModel", ids: list[int]) -> Edited:
        """Replace the first of ``ids``."""
        return Edited([self._chosen(loaded), *ids[1:]], list(range(len(ids))))

    def _chosen(self, loaded: "LoadedModel") -> int:
        from tokenarium.backend.models.structure import embedding_entries

        if self.token_id >= 0:
            entries = embedding_entries(loaded.model)
            if self.token_id >= entries:
                raise ValueError(
                    f"token_id={self.token_id} is not in the vocabulary of {loaded.name}: choose "
                    f"0 to {entries - 1}"
                )
            return self.token_id
        found = list(loaded.tokenizer(self.text, add_special_tokens=False)["input_ids"])
        if len(found) != 1:
            raise ValueError(
                f"text={self.text!r} is {len(found)} tokens for {loaded.name}, not 1: choose a "
                "shorter text, or give token_id"
            )
        return int(found[0])
