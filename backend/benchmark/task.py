"""What a task declares: a text made by the project, a question about it, and its answer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel

Measure = Literal["answer", "text"]
"""What counts: whether the answer is right, or how well a text is predicted."""

_registered: dict[str, type["Task"]] = {}


@dataclass(frozen=True)
class Exercise:
    """One prompt with its answer, in tokens."""

    context: tuple[int, ...]
    """What is read first, BOS included."""
    question: tuple[int, ...]
    """What is asked at the end; may be empty."""
    answer: tuple[int, ...]
    """What should follow."""
    chance: float = 0.0
    """Probability that a guess among the answers the text offers is right."""
    others: tuple[int, ...] = ()
    """First tokens of wrong answers, none that of the right one; for a choice among them."""

    @property
    def choice_chance(self) -> float:
        """Probability that a guess among the first tokens offered is right."""
        return 1 / (1 + len(self.others))

    @property
    def prompt(self) -> tuple[int, ...]:
        """Context and question."""
        return self.context + self.question


class Task(BaseModel):
    """One way to test what a cache has kept; subclassing registers it, fields are its parameters.

    Requests are checked against subclasses, so they import torch inside functions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: ClassVar[str]
    """Name of the task in requests."""
    title: ClassVar[str]
    """Name of the task for people."""
    explanation: ClassVar[str]
    """What is asked and why, in one sentence; shown as the tooltip."""
    source: ClassVar[str]
    """Authors, year, arXiv id of the idea; the texts are the project's own."""
    differs: ClassVar[str] = "no"
    """How this reading differs from the source."""
    measure: ClassVar[Measure] = "answer"
    """What counts."""
    has_depth: ClassVar[bool] = True
    """Whether what is asked for stands at a chosen depth."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "slug" not in cls.__dict__:
            return
        if cls.slug in _registered:
            raise TypeError(f"slug={cls.slug!r} is taken by {_registered[cls.slug].__name__}")
        _registered[cls.slug] = cls

    def exercise(self, loaded: "LoadedModel", length: int, depth: float, seed: int) -> Exercise:
        """Make one exercise.

        Args:
            loaded: whose tokens are used; nobody else uses it meanwhile.
            length: tokens of the prompt, BOS and question included; exactly so many are made.
            depth: where what is asked for stands: 0 at the start, 1 just before the question.
            seed: of everything drawn; the same text stands around every depth.
        Raises:
            ValueError: if the task does not fit into ``length`` tokens.
        """
        raise NotImplementedError(f"{self.slug} makes no exercises")


def registered() -> tuple[type[Task], ...]:
    """Return every task known so far, by title."""
    return tuple(sorted(_registered.values(), key=lambda task: task.title))


def find(slug: str) -> type[Task]:
    """Return the task named ``slug``.

    Raises:
        ValueError: if there is none, naming those there are.
    """
    if slug not in _registered:
        raise ValueError(f"task={slug!r} is unknown: choose {', '.join(sorted(_registered))}")
    return _registered[slug]
