"""Keep everything, choose in two layers what to read, and read the same in the others."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Label, Need, Protected, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView


class TidalDecode(Policy):
    """Heads of neighbouring layers look at much the same tokens, so that few layers must search.

    A selecting layer reads everything, and each KV head takes its highest weights of this step.
    """

    slug: ClassVar[str] = "tidal_decode"
    title: ClassVar[str] = "TidalDecode"
    explanation: ClassVar[str] = (
        "Keeps every token, but at each step only two layers look at all of them; the others read "
        "what these found."
    )
    paper: ClassVar[str] = "Yang et al., 2024, arXiv:2410.05076"
    differs: ClassVar[str] = (
        "query heads that share a KV head are joined, so that each KV head reads one set, and a "
        "token always reads itself"
    )
    label: ClassVar[Label] = "select"
    when: ClassVar[When] = "never"
    needs: ClassVar[frozenset[Need]] = frozenset({"attention"})
    published: ClassVar[Mapping[str, Any]] = {"selecting": 2, "reselecting": 13}

    selecting: int | None = Field(
        None,
        ge=0,
        le=1024,
        description="The first layer that chooses; those before read everything. Left open, 2 as "
        "in the paper, and at most the middle of a shallow model.",
    )
    reselecting: int | None = Field(
        None,
        ge=0,
        le=1024,
        description="The layer that chooses anew. Left open, 13/32 of the model's depth; the "
        "paper's 13 of 32.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        first, again = self.selecting, self.reselecting
        if first is not None and again is not None and again <= first:
            raise ValueError(
                f"reselecting={again} is not after selecting={first}: choose at least {first + 1}"
            )
        return self

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with its layers set from the model's depth.

        Raises:
            ValueError: if a layer was asked for that the model does not have.
        """
        for name in ("selecting", "reselecting"):
            layer = getattr(self, name)
            if layer is not None and layer >= layers:
                raise ValueError(
                    f"{name}={layer} is no layer of a model of {layers}: choose at most "
                    f"{layers - 1}"
                )
        first = min(2, (layers - 1) // 2) if self.selecting is None else self.selecting
        again = round(layers * 13 / 32) if self.reselecting is None else self.reselecting
        return self.model_copy(update={"selecting": first, "reselecting": again})

    def smallest_budget(self) -> int:
        """Return the newest token and one that is chosen."""
        return 2

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the newest token, which reads itself."""
        return Protected(newest=1)

    def selects(self, view: "LayerView") -> "Choice | None":
        """Return what was chosen last in this step; None where this layer is to choose."""
        assert self.selecting is not None
        assert self.reselecting is not None
        when, layer, choice = view.shared.get("choice", (None, 0, None))
        now = (view.step, view.seen)  # all parts of a prompt are step 0
        if view.layer < self.selecting or when != now or choice is None:
            return None
        if layer < self.reselecting <= view.layer:
            return None
        found: Choice = choice
        return found

    def observe_step(self, view: "LayerView", weights: "Tensor") -> None:
        """Choose for the layers that follow, each query reading itself."""
        from tokenarium.backend.cache.topk import highest

        assert self.selecting is not None
        queries = weights.shape[1]
        budget = view.budget + queries - 1  # each query beside the first brings its own entry
        if view.layer < self.selecting or weights.shape[2] <= budget:
            return
        scores = view.per_kv_head(weights.sum(1))
        choice = highest(scores, view, budget, Protected(newest=queries), self.scope)
        view.shared["choice"] = ((view.step, view.seen), view.layer, choice)
