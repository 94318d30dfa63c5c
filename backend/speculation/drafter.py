"""What a drafter declares, and how it proposes a tree."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of
from tokenarium.backend.speculation import head_folders
from tokenarium.backend.speculation.tree import Draw, TokenTree

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from tokenarium.backend.speculation.draft_state import DraftState

Source = Literal["text", "draft_model", "target_layers", "target_states"]
"""What it drafts from: the text alone, a second model, the first layers of the target, or a head
trained to read the target's last states."""


class Drafter(Method):
    """One way to draft the next tokens; subclassing registers it, fields are its parameters.

    A run calls ``begin`` once with the prompt, then in every round ``propose``, and ``update`` with
    the target's logits. What a drafter must remember during a run goes into ``state.memory``.
    Requests and stored runs are checked against subclasses, so they import torch inside functions.

    Prompt lookup copies what followed the last tokens of the text when they occurred before. The
    text 1 2 3 4 2 3 ends in 2 3, which was followed by 4 2 3:

    >>> import numpy as np
    >>> from tokenarium.backend.speculation.distribution import Processors
    >>> from tokenarium.backend.speculation.draft_state import DraftState
    >>> state = DraftState(
    ...     ids=[1, 2, 3, 4, 2, 3], vocabulary=5, draft_len=3, tree_budget=8,
    ...     processors=Processors(), random=np.random.default_rng(0),
    ... )
    >>> drafter = Drafter.registry.find("prompt_lookup")(longest=2)
    >>> drafter.begin(state)
    >>> tree = drafter.propose(state)
    >>> tree.tokens[1:], tree.parents[1:]
    ([4, 2, 3], [0, 1, 2])
    """

    registry: ClassVar[Registry[type["Drafter"]]] = Registry(
        "drafter", modules_of("tokenarium.backend.speculation.drafters")
    )

    slug: ClassVar[str]
    """Name in requests."""
    title: ClassVar[str]
    """Name for people."""
    explanation: ClassVar[str]
    """How it drafts, in one sentence; shown as the tooltip."""
    paper: ClassVar[str]
    """Authors, year, arXiv id."""
    differs: ClassVar[str] = "no"
    """How this implementation differs from the paper; the method is then marked a variant."""
    caution: ClassVar[str] = ""
    """What to know before a run, where it seldom pays; shown with what the run will take."""
    draw: ClassVar[Draw]
    """How the children of a node are chosen: what decides which rules are exact."""
    source: ClassVar[Source] = "draft_model"
    """What it drafts from."""
    head: ClassVar[str] = "tokenarium"
    """Where it drafts from the target's states, whose head it is: this project's recipe, or a kind
    of the speculators format."""
    shares_cache: ClassVar[bool] = False
    """Whether, drafting by the target's layers, it reads with the target's own keys and values in
    place of a cache of its own."""
    hands_on: ClassVar[bool] = False
    """Whether the verifying pass goes on from the states that it left, by its reader's ``verify``:
    what it computed of the target is not computed again."""
    nested: ClassVar[bool] = False
    """Whether it leaves its draft model after few layers where these are sure: its reader knows
    ``exits``, and a source's last word is how many layers said the token."""
    branches: ClassVar[bool] = True
    """Whether a node may get several children; a chain has one each."""
    prunes: ClassVar[bool] = False
    """Whether it leaves nodes out before they are verified; where they were drawn at random, only
    rules that do not read the draft's distribution are then exact."""

    assisted_rule: ClassVar[str] = ""
    """Rule that transformers' assisted generation, which drafts alike, accepts by above temperature
    0; empty where it does not draft so."""

    @classmethod
    def files(cls) -> tuple[Path, ...]:
        """Return the files beside the models that decide what it drafts: those of draft heads."""
        return head_folders.files() if cls.source == "target_states" else ()

    def layers(self, count: int) -> int:
        """Return how many of the target's ``count`` layers it runs, where they are its source."""
        return count

    def exits(self, count: int) -> tuple[int, ...]:
        """Return after how many of its draft model's ``count`` layers it may leave, all the last;
        of a drafter that is nested."""
        return (count,)

    def watches(self, count: int) -> tuple[int, ...]:  # noqa: ARG002
        """Return after how many of the target's ``count`` layers it looks at the text's states."""
        return ()

    def agreement(self, state: "DraftState", rounds: int) -> "NDArray[Any]":  # noqa: ARG002
        """Return by round how often each layer said the text [R, L], NaN where it did not look;
        [R, 0] where it never does."""
        import numpy as np

        return np.empty((rounds, 0), np.float32)

    def begin(self, state: "DraftState") -> None:
        """Prepare for a run from the prompt, ``state.ids``, before the first round."""

    def propose(self, state: "DraftState") -> TokenTree:
        """Return the tree of a round; a root alone proposes nothing.

        It has at most ``state.tree_budget`` nodes beside the root that are verified, none deeper
        than ``state.draft_len``.
        """
        raise NotImplementedError

    def update(self, state: "DraftState", tree: TokenTree, logits: "Tensor") -> None:
        """Learn from the target's logits [n, V] after ``tree.verified()``, before acceptance."""
