"""What a task declares: a text made by the project, a question about it, and its answer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel

Measure = Literal["answer", "text"]
"""What counts: whether the answer is right, or how well a text is predicted."""


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


class Task(Method):
    """One way to test what a cache has kept; subclassing registers it, fields are its parameters.

    A subclass overrides ``exercise``. One that shows a token and asks for the next one after it
    has come again::

        class Echo(Task):
            slug = "echo"
            title = "Echo"
            explanation = "Repeats the tokens 5 and 6 and asks for the 6."
            source = "none; a baseline"
            in_chat = False

            def exercise(self, loaded, length, depth, seed, chat=False):
                before = round(depth * (length - 3))
                context = [7] * before + [5, 6] + [7] * (length - 3 - before)
                return Exercise(tuple(context), question=(5,), answer=(6,))

    With length 8 and depth 0.4 the prompt is [7, 7, 5, 6, 7, 7, 7, 5], and 6 should follow.

    Requests are checked against subclasses, so they import torch inside functions.
    """

    registry: ClassVar[Registry[type["Task"]]] = Registry(
        "task", modules_of("tokenarium.backend.benchmark.tasks")
    )

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
    in_chat: ClassVar[bool] = True
    """Whether it is a question that can be asked in the turns of a chat template."""

    def exercise(
        self, loaded: "LoadedModel", length: int, depth: float, seed: int, chat: bool = False
    ) -> Exercise:
        """Make one exercise.

        Args:
            loaded: whose tokens are used; nobody else uses it meanwhile.
            length: tokens of the prompt, BOS and question included; exactly so many are made.
            depth: where what is asked for stands: 0 at the start, 1 just before the question.
            seed: of everything drawn; the same text stands around every depth.
            chat: whether it is asked in the turns of the model's chat template, the assistant's
                answer begun; only where ``in_chat``.
        Raises:
            ValueError: if the task does not fit into ``length`` tokens.
        """
        raise NotImplementedError(f"{self.slug} makes no exercises")
