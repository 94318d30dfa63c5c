"""Drop what the newest token looks at least."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Scope

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_cache import LayerCache
    from tokenarium.kernels.attention_stats import AttentionStats, Want


class TOVA(Policy):
    """The newest query's attention, averaged over the heads of a layer, and no memory of others."""

    slug: ClassVar[str] = "tova"
    title: ClassVar[str] = "TOVA"
    explanation: ClassVar[str] = (
        "Drops at every step the token that the newest one attends to least, one choice a layer."
    )
    paper: ClassVar[str] = "Oren et al., 2024, arXiv:2401.06104"
    differs: ClassVar[str] = "the prompt is read with full attention and then reduced at once"
    scope: ClassVar[Scope] = "layer"
    watches: ClassVar[bool] = True
    joins: ClassVar[bool] = True

    newest: int = Field(
        0, ge=0, le=256, description="Newest tokens that always stay; the paper protects none."
    )

    def smallest_budget(self) -> int:
        """Return the protected tokens, and one at least."""
        return max(1, self.newest)

    def want(self, length: int) -> "Want":
        """Return the weights of the prompt's last query."""
        from tokenarium.kernels.attention_stats import Want

        return Want(last=1)

    def remembers(self) -> int:
        """Return one: the weight in the newest step."""
        return 1

    def prefilled(self, held: "LayerCache", stats: "AttentionStats") -> None:
        """Begin with what the prompt's last token looks at."""
        assert stats.last is not None
        held.entries.put("looked_at", held.per_kv_head(stats.last))

    def stepped(self, held: "LayerCache", weights: "Tensor") -> None:
        """Forget the query before; only the newest counts."""
        held.entries.put("looked_at", held.per_kv_head(weights[:, -1]))

    def protects(self, held: "LayerCache") -> tuple[int, int]:
        """Return the newest tokens, where some are protected."""
        return 0, self.newest

    def scores(self, held: "LayerCache") -> "Tensor":
        """Return the newest query's attention; the heads' mean decides."""
        return held.entries.rows("looked_at")
