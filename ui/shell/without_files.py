"""Answers in which Gradio looks for no files: a run's numbers alone cost it seven times the run.

Gradio walks through every number of an answer twice, in its event loop, for files to be copied and
addresses to be completed. Nothing here answers with a file.
"""

from typing import Any

from gradio import processing_utils


class Answer(dict[str, Any]):
    """An answer of texts and numbers, handed on as it is."""


def look_for_no_files() -> None:
    """Let Gradio pass by what is an ``Answer``; all else is treated as before."""
    move, complete = processing_utils.async_move_files_to_cache, processing_utils.add_root_url
    if getattr(move, "passes_by", None) is Answer:
        return

    async def moved(data: Any, *given: Any, **named: Any) -> Any:
        return data if isinstance(data, Answer) else await move(data, *given, **named)

    def completed(data: Any, *given: Any, **named: Any) -> Any:
        if isinstance(data, list | tuple):
            return [completed(each, *given, **named) for each in data]
        return data if isinstance(data, Answer) else complete(data, *given, **named)

    moved.passes_by = Answer  # type: ignore[attr-defined]
    processing_utils.async_move_files_to_cache = moved
    processing_utils.add_root_url = completed
