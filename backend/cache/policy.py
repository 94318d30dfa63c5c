"""What a KV-cache policy declares; everything else about it is derived from that."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, PrivateAttr

from tokenarium.backend.cache.terms import (
    NEEDS,
    Chooses,
    Label,
    Measurement,
    Need,
    NullScores,
    Positions,
    Protected,
    Reduction,
    Scope,
    When,
)
from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.head_roles import HeadRoles
    from tokenarium.backend.cache.kvpress_call import KVPressCall
    from tokenarium.backend.cache.layer_view import Choice, LayerView
    from tokenarium.backend.cache.storage_form import StorageForm
    from tokenarium.backend.models.loaded import LoadedModel
    from tokenarium.backend.observe.layer import Change
    from tokenarium.kernels.attention_stats import AttentionStats, Want


class Policy(Method):
    """One way to choose what a cache keeps; subclassing registers it, fields are its parameters.

    A subclass says in ``needs`` what it must be given of a layer, and overrides ``scores``, or
    ``kept`` where a choice is no score. What it must remember per entry goes into ``view.put``,
    what per layer into ``view.memory``. Everything else has a default.

    A policy that keeps the entries with the longest values, and the newest entry::

        class ValueNorm(Policy):
            slug = "vnorm"
            title = "Value norm"
            explanation = "Keeps the tokens with the longest values."
            paper = "none; a baseline"
            needs = frozenset({"values"})

            def protects(self, budget, layer, prompt):
                return Protected(newest=1)

            def scores(self, view):
                return view.values.float().norm(dim=-1)  # [G, S]

    With budget 3, values of the lengths [5, 1, 4, 2, 3] give the scores of five entries; the newest
    is protected, so the entries 0, 2 and 4 stay, and those at 1 and 3 are freed.
    """

    registry: ClassVar[Registry[type["Policy"]]] = Registry(
        "policy", modules_of("tokenarium.backend.cache.policies")
    )

    slug: ClassVar[str]
    """Name of the policy in requests."""
    title: ClassVar[str]
    """Name of the policy for people."""
    explanation: ClassVar[str]
    """What it keeps and why, in one sentence; shown as the tooltip."""
    paper: ClassVar[str]
    """Authors, year, arXiv id."""
    differs: ClassVar[str] = "no"
    """How this reading differs from the paper; the method is then marked a variant."""
    label: ClassVar[Label] = "evict"
    """What is really done, whatever the paper calls it."""
    when: ClassVar[When] = "step"
    """When entries are dropped."""
    scope: ClassVar[Scope] = "head"
    """What shares one set of kept tokens."""
    chooses: ClassVar[Chooses] = "score"
    """What decides which tokens stay beside the protected ones."""
    needs: ClassVar[frozenset[Need]] = frozenset()
    """What it reads of a ``LayerView`` beside plain numbers, positions and its own state: reading
    anything else raises. With surprisal its scope is the model; with keys, values, queries, rotary
    or surprisal its null scores are those of a shuffle, as noise has no content."""
    at_once: ClassVar[str] = ""
    """Why it cannot choose while a prompt is read in parts; empty where it can."""
    prunes_prompt: ClassVar[bool] = False
    """Whether only some of the prompt's tokens go on to later layers, by ``prompt_kept``."""
    ragged: ClassVar[bool] = False
    """Whether heads may hold different numbers: then the layer's sum keeps to the budget."""
    batches_layers: ClassVar[bool] = False
    """Whether several layers may be handed to it as one with all their heads: what it does with a
    head must not depend on the layer. Decode steps are then quicker."""
    null_scores: ClassVar[NullScores] = "shuffled"
    """What its scores are where attention says nothing, the query heads' mean being taken."""
    published: ClassVar[Mapping[str, Any]] = {}
    """Values of the paper for parameters whose defaults follow the budget: offered as a preset."""

    positions: Positions = Field(
        "original", description="Where kept keys stand; the default is the paper's."
    )
    reduction: Reduction = Field(
        "mean", description="How query heads that share a KV head are reduced to one score."
    )
    _forms: "tuple[StorageForm, ...]" = PrivateAttr(())

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if unknown := cls.needs - NEEDS:
            raise TypeError(
                f"needs of {cls.__name__} has {sorted(unknown)}: choose from {sorted(NEEDS)}"
            )
        if cls.observe_step is not Policy.observe_step and "attention" not in cls.needs:
            raise TypeError(
                f"{cls.__name__} overrides observe_step, which is called where its needs name "
                "attention only: add 'attention' to them"
            )
        super().__pydantic_init_subclass__(**kwargs)

    @property
    def forms(self) -> "tuple[StorageForm, ...]":
        """In what forms what it keeps is stored, one after another: the rest of a recipe."""
        return self._forms

    def followed_by(self, forms: "Sequence[StorageForm]") -> Self:
        """Return the recipe of this policy and forms for what it keeps.

        Raises:
            ValueError: if they do not go together.
        """
        from tokenarium.backend.cache.storage_form import refuse_recipe

        own = self.model_copy()
        own._forms = tuple(forms)  # noqa: SLF001 - a copy of its own
        refuse_recipe(own)
        return own

    @property
    def keeps_all(self) -> bool:
        """Whether every entry is kept and read, so that the budget changes nothing."""
        return self.label in ("nothing", "reshape", "quantise")

    @property
    def recipe_slug(self) -> str:
        """Slugs of the policy and of what follows it, such as ``snapkv+kv_quant``."""
        return "+".join([self.slug, *(form.slug for form in self._forms)])

    @property
    def recipe_title(self) -> str:
        """What the recipe is called."""
        return ", then ".join([self.title, *(form.short_title for form in self._forms)])

    @property
    def recipe_label(self) -> str:
        """What is really done, step by step."""
        steps = [self.label, *(form.label for form in self._forms)]
        done = [label for label in dict.fromkeys(steps) if label != "nothing"]
        return ", ".join(done) or "nothing"

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with every parameter that was left open set for a run.

        Args:
            budget: entries per head, averaged over the layers.
            layers: of the model.
            context: most tokens the model was made to read at once.
        """
        return self

    def measurement_of_heads(self) -> Measurement:
        """Return where the roles of heads come from, where it needs them."""
        measured: Measurement = getattr(self, "measured", "probe")
        return measured

    def knowing(self, roles: "HeadRoles") -> Self:
        """Return the policy with what the model's heads usually do, where it needs ``roles``."""
        return self

    def all_needs(self) -> frozenset[Need]:
        """Return what it must be given with these parameters."""
        return self.needs

    def kvpress(self, compression_ratio: str) -> "KVPressCall | None":
        """Return the press of kvpress that comes nearest, parameters set; None where none does.

        Args:
            compression_ratio: share of the prompt that is removed, as Python.
        """
        return None

    def smallest_budget(self) -> int:
        """Return the fewest entries a head must hold, such as sink + window + 1."""
        return 1

    def refuse_below_smallest(self, budget: int) -> None:
        """Refuse a budget that is smaller than what is always kept.

        Raises:
            ValueError: naming the smallest budget.
        """
        least = self.smallest_budget()
        if self.label != "nothing" and budget < least:
            raise ValueError(
                f"budget={budget} tokens per head is below the {least} that {self.title} needs "
                f"with these parameters: raise budget to at least {least}"
            )

    def acts_within(self, window: int | None, budget: int) -> bool:
        """Return whether it acts in a layer: everywhere but where a window keeps to the budget.

        A layer with a window holds one key fewer than its queries see, so that only a smaller
        budget changes anything. What reads a selection, hides pairs or leaves out tokens of the
        prompt leaves such layers alone.

        Args:
            window: most keys a query sees by the model's design; None for all.
            budget: entries per head of the layer.
        """
        if window is None:
            return True
        plain = type(self).patches_prefill is Policy.patches_prefill and not self.prunes_prompt
        evicts = self.label == "evict" and plain and self.positions != "capped"
        return evicts and budget < window - 1

    def acting_layers(
        self, budget: int, windows: Sequence[int | None], prompt: int
    ) -> tuple[int, ...]:
        """Return the layers in which it acts; see ``acts_within``.

        Args:
            budget: entries per head, averaged over the layers.
            windows: by layer the most keys a query sees by the model's design; None for all.
            prompt: tokens of the prompt.
        """
        budgets = self.layer_budgets(budget, len(windows), prompt)
        both = enumerate(zip(windows, budgets, strict=True))
        return tuple(layer for layer, (window, own) in both if self.acts_within(window, own))

    def layer_budgets(self, budget: int, layers: int, length: int) -> list[int]:
        """Return the budget of each layer, entries per head, for a prompt of ``length`` tokens."""
        return [budget] * layers

    def eviction_interval(self, budget: int) -> int:
        """Return the decode steps between two evictions; all but one of them are slack."""
        return 1

    def evicts_at(self, step: int, budget: int) -> bool:
        """Return whether entries are dropped after a decode step; the prompt's is step 0."""
        if self.when == "never" or (self.when == "prefill" and step):
            return False
        return step % self.eviction_interval(budget) == 0

    def over_budget(self, counts: Sequence[int], budget: int) -> bool:
        """Return whether heads with so many entries are over the budget of their layer."""
        return sum(counts) > budget * len(counts) if self.ragged else max(counts) > budget

    def size_after_eviction(self, budget: int) -> int:
        """Return how many entries a head has right after an eviction; never over its budget."""
        return budget

    def state_per_token(self) -> int:
        """Return how many numbers are kept beside each entry from the end of the prompt on."""
        return 0

    def block_size(self) -> int:
        """Return how many consecutive entries are read together or not at all; 1 for each alone."""
        return 1

    def shares_of_heads(
        self, budget: int, heads: int, length: int
    ) -> "tuple[tuple[int, int], ...] | None":
        """Return how many entries of a prompt of ``length`` how many KV heads hold.

        For policies whose heads hold different numbers that the text does not change; None for all
        others.

        Args:
            budget: entries per head, averaged over the layers.
            heads: KV heads of all layers together.
            length: tokens of the prompt.
        """
        return None

    def prompt_length_at(self, layer: int, budget: int, length: int) -> int:
        """Return how many tokens of a prompt of ``length`` get to a layer."""
        return length

    def distance_cap(self) -> int | None:
        """Return the largest distance where positions are capped; None takes the model's."""
        return None

    def null_baseline(self) -> NullScores:
        """Return what the scores are where attention says nothing, with these parameters."""
        # A maximum over heads is not linear.
        linear = self.reduction != "max"
        return self.null_scores if linear or self.null_scores != "even" else "drawn"

    def patches_prefill(
        self, loaded: "LoadedModel", budget: int, length: int
    ) -> "dict[int, Change]":
        """Return, by layer, how attention is changed while a prompt of ``length`` is read."""
        return {}

    def want(self, length: int) -> "Want":
        """Return the statistics of the prompt's attention that ``observe_prompt`` needs.

        A layer whose attention ``patches_prefill`` changes has none of them.
        """
        from tokenarium.kernels.attention_stats import Want

        return Want()

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Remember what matters of a layer's attention over the prompt."""

    def observe_step(self, view: "LayerView", weights: "Tensor") -> None:
        """Remember what matters of a decode step; only where ``needs`` name attention.

        A layer that reads a selection has no such weights.

        Args:
            weights: [H, n, S] of the n newest queries over the layer's entries.
        """

    def why_at_once(self) -> str:
        """Return why a prompt must be read at once, after the policy's title; empty where not."""
        if self.at_once:
            return self.at_once
        if self.prunes_prompt:
            return "lets only some of a whole prompt's tokens go on to later layers"
        if type(self).patches_prefill is not Policy.patches_prefill:
            return "changes how a whole prompt is attended to"
        return next((why for form in self._forms if (why := form.why_at_once())), "")

    def watches_parts(self, length: int) -> bool:
        """Return whether ``observe_part`` needs a part's attention; ``length`` tokens are read."""
        from tokenarium.kernels.attention_stats import Want

        return "attention" in self.all_needs() or self.want(length) != Want()

    def observe_part(self, view: "LayerView", weights: "Tensor | None") -> None:
        """Remember what matters of a later part of a prompt that is read in parts.

        What watches decode steps sees the part as a step; what looks at a prompt's end alone takes
        the part's end for it. Nothing is asked of a layer that reads a selection.

        Args:
            weights: [H, n, S] of the part's n queries over the entries held; None where nobody
                ``watches_parts``.
        """
        from tokenarium.kernels.attention_stats import AttentionStats

        if "attention" in self.all_needs() and weights is not None:
            self.observe_step(view, weights)
        elif self.label != "select":
            last = 0 if weights is None else self.want(weights.shape[2]).last
            votes = None if weights is None or not last else weights[:, -last:].sum(1)
            received = None if weights is None else weights.sum(1)
            self.observe_prompt(view, AttentionStats(received=received, last=votes))

    def prompt_kept(self, view: "LayerView") -> "Tensor | None":
        """Return the ascending indices of the prompt's tokens that go on after this layer.

        Asked in every layer after ``observe_prompt`` where the policy ``prunes_prompt``; the last
        token must be among them, and later layers can only leave out more. None leaves it as it is.
        """
        return None

    def joins(self, layer: int, states: "Tensor", shared: dict[str, Any]) -> "Tensor | None":
        """Return [T] which earlier token of the prompt each becomes a part of, or itself.

        Asked before every layer, until it is not None, where the policy ``prunes_prompt``; states
        that are joined are averaged, and their tokens do not go on.

        Args:
            layer: the one that is given the states.
            states: [T, D] of the prompt.
            shared: the policy's own, one for all layers of the run.
        """
        return None

    def chooses_after_prompt(self, layer: int) -> bool:
        """Return whether a layer drops of the prompt only once all layers have read it."""
        return self.scope == "model"

    def outputs(self, view: "LayerView", out: "Tensor") -> "Tensor":
        """Return what goes on of a layer's outputs [n, H, Dv], those of the step's n queries."""
        return out

    def found(self, shared: Mapping[str, Any]) -> Sequence[str]:
        """Return what is to be said of a prompt that was read, in sentences.

        Args:
            shared: what the policy keeps for all layers of the run.
        """
        return ()

    def likeness(self, shared: Mapping[str, Any]) -> "Sequence[tuple[int, int, float, float]]":
        """Return how alike neighbouring layers are, of a prompt that was read.

        Each is the lower layer, the upper one, and the mean cosines of their keys and values.

        Args:
            shared: what the policy keeps for all layers of the run.
        """
        return ()

    def clusters_of(self, view: "LayerView") -> "Tensor | None":
        """Return [G, S] the number of each entry's cluster, from 1; 0 for those in none.

        Asked once the prompt was read, so that a run can draw them; None where there are none.
        """
        return None

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return how many first tokens and how many newest entries are never dropped.

        Args:
            budget: entries per head of this layer.
            layer: its number.
            prompt: tokens of the prompt.
        """
        return Protected()

    def scores(self, view: "LayerView") -> "Tensor":
        """Return [G, S] float32 scores of the layer's entries; higher is kept, ties by position."""
        raise NotImplementedError(f"{self.slug} neither scores nor overrides kept")

    def kept(self, view: "LayerView", budget: int) -> "Choice":
        """Choose the entries that stay, ``budget`` of each KV head."""
        from tokenarium.backend.cache.topk import highest

        protected = self.protects(view.budget, view.layer, view.prompt)
        return highest(self.scores(view), view, budget, protected, self.scope)

    def selects(self, view: "LayerView") -> "Choice | None":
        """Choose what this step's queries read; None reads everything.

        A query must find itself or an older entry among them.
        """
        return None
