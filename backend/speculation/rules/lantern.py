"""Accept a token also for the mass of its nearest neighbours among the embeddings."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, PrivateAttr

from tokenarium.backend.speculation.rule import AcceptanceTests, Promise, Residual, Rule
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.models.loaded import LoadedModel


class Lantern(Rule):
    """Accepts with min(1, (p(x) + p(A)) / q(x)), A being neighbours of x that stand in for it.

    A is the longest beginning of the ``neighbours`` nearest tokens whose mass under the target is
    at most ``mass``. Where x is rejected all of its neighbours may follow, as if the draft had not
    thought of them. Tokens are near where the target's input embeddings have a high cosine; without
    a model, as in enumeration, where their ids are close.
    """

    slug: ClassVar[str] = "lantern"
    title: ClassVar[str] = "Neighbours among embeddings (LANTERN)"
    explanation: ClassVar[str] = (
        "Keeps a guess also where the target prefers tokens of nearly the same embedding, up to a "
        "bound on their mass, so the text is not distributed as the target's; for chains."
    )
    paper: ClassVar[str] = "Jang et al., 2024, arXiv:2410.03355"
    differs: ClassVar[str] = (
        "made for the tokens of images: here the input embeddings of text tokens are the latents; "
        "a token of probability 0 under the target never stays"
    )
    promise: ClassVar[Promise] = "relaxed"
    exact_for: ClassVar[frozenset[Draw]] = frozenset({"iid", "without_replacement"})
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {"deterministic": (0.24, 0.70)}
    reads_model: ClassVar[bool] = True
    max_children: ClassVar[int | None] = 1

    neighbours: int = Field(10, ge=0, le=1024, description="Nearest tokens that are looked at.")
    mass: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Most probability under the target that neighbours may lend a token; 0 lends "
        "none.",
    )
    _latents: Any = PrivateAttr(None)  # Tensor [V, d], unit length

    def of_model(self, loaded: "LoadedModel") -> Self:
        """Return the rule with the model's input embeddings as latents."""
        from torch.nn.functional import normalize

        embedding: Any = loaded.model.get_input_embeddings()
        rule = self.model_copy()
        rule._latents = normalize(embedding.weight.detach(), dim=-1)  # noqa: SLF001 - of its own
        return rule

    def acceptance_tests(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[AcceptanceTests | Residual]:
        """Yield the test of the first child; later siblings are never accepted."""
        from tokenarium.backend.speculation.distribution import acceptance_ratio, prob_of, residual

        assert draft is not None
        near = self.nearest(children[:, 0], target.shape[-1])
        lent = self.lent_mass(target, near)
        own, drafted = (prob_of(probs, children[:, 0]) for probs in (target, draft))
        first = acceptance_ratio(own + lent, drafted).where(own > 0, 0)
        for rank, token in enumerate(children.unbind(-1)):
            target_prob, draft_prob = prob_of(target, token), prob_of(draft, token)
            yield AcceptanceTests(first if rank == 0 else first * 0, target_prob, draft_prob)
        left = residual(target, draft.scatter(-1, near, 0))
        yield Residual(left.where(first[:, None] < 1, target))

    def nearest(self, tokens: "Tensor", vocabulary: int) -> "Tensor":
        """Return the ids [F, k] nearest to each of F tokens, the nearest first, itself left out."""
        import torch

        count = min(self.neighbours, vocabulary - 1)
        if self._latents is None:
            away = torch.arange(vocabulary, device=tokens.device) - tokens[:, None]
            alike = -(2.0 * away.abs() + (away > 0))  # of two equally close the lower id
        else:
            alike = (self._latents[tokens] @ self._latents[:vocabulary].T).float()
        alike = alike.scatter(-1, tokens[:, None], -torch.inf)
        return alike.topk(count, -1).indices

    def lent_mass(self, target: "Tensor", near: "Tensor") -> "Tensor":
        """Return the target's mass [F] of the first neighbours [F, k] within ``mass``."""
        masses = target.gather(-1, near)
        return masses.where(masses.cumsum(-1) <= self.mass, 0).sum(-1)
