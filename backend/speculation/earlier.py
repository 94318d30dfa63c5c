"""The texts of earlier runs, for drafters that look for the text's ending in them."""

from typing import TYPE_CHECKING

from tokenarium.backend.errors import UserError
from tokenarium.backend.speculation.drafters.ngram_store import MOST_TOKENS
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.result import SpeculationResult

if TYPE_CHECKING:
    from tokenarium.backend.runs.lab import Lab

MOST_RUNS = 16


def earlier_tokens(
    lab: "Lab", model: str, *, visitor: str = "", most: int = MOST_TOKENS
) -> tuple[int, ...]:
    """Return the token ids of texts that earlier speculative runs of a model ended with.

    In hosted mode those of shared runs and of the visitor's own, never of somebody else's.

    Args:
        lab: whose store is asked.
        model: the exact name.
        visitor: private name of who asks.
        most: tokens; whole texts are taken, the newest first, as far as they fit.
    """
    found: list[int] = []
    for listed in lab.search(
        kind=SpeculateRequest.kind, model=model, visitor=visitor, limit=MOST_RUNS
    ):
        try:
            result = lab.open(listed.id, visitor=visitor).result
        except UserError:  # its arrays were dropped meanwhile
            continue
        assert isinstance(result, SpeculationResult)
        text = [*result.prompt_ids.tolist(), *result.token_ids.tolist()]
        if len(found) + len(text) <= most:
            found += text
    return tuple(found)
