"""A task asked in running text, or in the turns of a model's chat template."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenarium.backend.benchmark.haystack import ask, encode, haystack
from tokenarium.backend.benchmark.task import Exercise
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.template import ChatTemplateError, fill

_MARK = "\ue000text\ue001"


@dataclass(frozen=True)
class Question:
    """A question in both forms."""

    text: str
    """In running text: the words right before the answer."""
    turn: str
    """As the user asks it, at the end of a turn that holds the text."""
    begun: str
    """How the assistant's turn begins, up to the answer."""

    def exercise(
        self,
        loaded: LoadedModel,
        length: int,
        needles: Sequence[tuple[float, Sequence[int]]],
        seed: int,
        answers: Sequence[str],
        chance: float,
        *,
        chat: bool,
    ) -> Exercise:
        """Return the exercise that hides needles in ``length`` tokens and asks this question.

        Args:
            loaded: whose tokens are used; nobody else uses it meanwhile.
            length: tokens of the prompt, the question and the template's own included.
            needles: as ``haystack`` takes them.
            seed: of the filler.
            answers: the right one first; wrong ones follow.
            chance: probability that a guess is right.
            chat: whether it is asked in the turns of the chat template.
        """
        if chat:
            start, between = turns(loaded)
            before = [*encode(loaded, self.turn), *between]
            asked = ask(loaded, self.begun, answers[0], answers[1:], before)
        else:
            start, asked = None, ask(loaded, self.text, answers[0], answers[1:])
        question, answer, others = asked
        context = haystack(loaded, length - len(question), needles, seed, start)
        return Exercise(tuple(context), tuple(question), tuple(answer), chance, others)


def turns(loaded: LoadedModel) -> tuple[list[int], list[int]]:
    """Return the tokens before a user's text, and those from its end to the assistant's first.

    Raises:
        ValueError: if the model has no chat template, or it does not keep a text as it is.
    """
    tokenizer = loaded.tokenizer
    if not tokenizer.chat_template:
        raise ValueError(
            f"chat_template=True, but the tokenizer of {loaded.name} has none: set "
            "chat_template=False"
        )
    try:
        filled = fill(
            tokenizer,
            [{"role": "user", "content": _MARK}],
            answer=True,
            enable_thinking=False,  # where a template knows it: the answer follows at once
        )
    except ChatTemplateError as error:
        raise ValueError(
            f"chat_template=True, but the template of {loaded.name} {error}: set "
            "chat_template=False"
        ) from error
    head, found, tail = filled.partition(_MARK)
    if not found:
        raise ValueError(
            f"chat_template=True, but the template of {loaded.name} rewrites the text: set "
            "chat_template=False"
        )
    start, between = (
        tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]
        for part in (head, tail)
    )
    return list(start), list(between)


def asks_in_turns(loaded: LoadedModel, wanted: bool | None, in_chat: bool) -> bool:
    """Return whether a task is asked in turns: by default where task and model allow it.

    Args:
        loaded: has a chat template, or none.
        wanted: as requested; None for the default.
        in_chat: whether the task can be asked so.
    Raises:
        ValueError: if it is wanted and cannot be.
    """
    if wanted and not in_chat:
        raise ValueError(
            "chat_template=True, but this task has no question that could be asked in a "
            "conversation: leave chat_template out"
        )
    if wanted is None:
        return in_chat and bool(loaded.tokenizer.chat_template)
    return wanted
