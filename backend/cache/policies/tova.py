"""Drop what the newest token looks at least."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.cache.kvpress_call import KVPressCall, press
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Need, Protected, Scope

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView
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
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})
    batches_layers: ClassVar[bool] = True

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

    def state_per_token(self) -> int:
        """Return one: the weight in the newest step."""
        return 1

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Begin with what the prompt's last token looks at."""
        assert stats.last is not None
        view.put("looked_at", view.per_kv_head(stats.last))

    def observe_step(self, view: "LayerView", weights: "Tensor") -> None:
        """Forget the query before; only the newest counts."""
        view.put("looked_at", view.per_kv_head(weights[:, -1]))

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the newest tokens, where some are protected."""
        return Protected(newest=self.newest)

    def kvpress(self, compression_ratio: str) -> KVPressCall:
        """Return its nearest press."""
        differs = () if self.newest == 1 else ("It always keeps the newest token, and no other.",)
        return press("TOVAPress", compression_ratio, differs=differs)

    def scores(self, view: "LayerView") -> "Tensor":
        """Return the newest query's attention; the heads' mean decides."""
        return view.state("looked_at")
