"""The exercises of a sweep: those of its task, or its prompts with what the full cache makes."""

from collections.abc import Callable

import numpy as np

from tokenarium.backend.benchmark.conversation import asks_in_turns
from tokenarium.backend.benchmark.evaluation import readings
from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.benchmark.task import Exercise
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.models.generating import end_of_text
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.rotary_crossing import refuse_crossing
from tokenarium.backend.models.text import tokenise
from tokenarium.backend.runs.request import TextRequest


def exercises(
    request: SweepRequest,
    loaded: LoadedModel,
    limit: int,
    depth: float | None,
    check: Callable[[], None],
) -> list[Exercise]:
    """Return the exercises at a depth, each fitting into ``limit`` tokens with its answer.

    Raises: ValueError where one does not fit, saying what would, or grows past a length at which
        the model's rotary positions change; Cancelled.
    """
    made = _made(request, loaded, limit, depth, check)
    for exercise in made:
        first = len(readings(exercise, request.query_aware)[0])
        tokens = len(exercise.prompt) + len(exercise.answer)
        refuse_crossing(loaded, first, tokens, "choose shorter exercises or a shorter answer")
    return made


def _made(
    request: SweepRequest,
    loaded: LoadedModel,
    limit: int,
    depth: float | None,
    check: Callable[[], None],
) -> list[Exercise]:
    task = request.chosen_task
    if task is None:
        return [_continued(request, loaded, limit, text, check) for text in request.texts]
    chat = asks_in_turns(loaded, request.chat_template, task.in_chat)
    made = []
    for trial in range(request.trials):
        check()
        seed = int(np.random.SeedSequence([request.seed, trial]).generate_state(1)[0])
        made.append(task.exercise(loaded, request.length, depth or 0.0, seed, chat))
    longest = request.length + max(len(exercise.answer) for exercise in made)
    most = limit
    if request.exceed_context and not loaded.reads_past_context:
        most = min(limit, loaded.context)
    if longest > most:
        raise ValueError(
            f"length={request.length} and the answer are {longest} tokens, the limit is {most}: "
            f"lower length by {longest - most}, or ask for a shorter answer"
        )
    return made


def _continued(
    request: SweepRequest,
    loaded: LoadedModel,
    limit: int,
    text: TextRequest,
    check: Callable[[], None],
) -> Exercise:
    """Return a prompt with the full cache's greedy continuation as its answer."""
    if limit <= request.max_new_tokens:
        raise ValueError(
            f"max_new_tokens={request.max_new_tokens} leaves no room for a prompt, the limit is "
            f"{limit}: choose at most {limit - 1}"
        )
    ids = tokenise(loaded, text, limit - request.max_new_tokens).ids
    sequence = CachedSequence(loaded, Full(), 1, check=check)
    token = int(sequence.read(ids).argmax())
    said, stops = [token], end_of_text(loaded)
    while len(said) < request.max_new_tokens and said[-1] not in stops:
        said.append(int(sequence.read(said[-1:]).argmax()))
    return Exercise(tuple(ids), (), tuple(said))
