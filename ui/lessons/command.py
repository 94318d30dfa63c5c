"""The command ``lessons``: every lesson as a hand-out, written into a folder."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from tokenarium.backend import Lab, Settings
from tokenarium.ui.lessons.handout import handout
from tokenarium.ui.lessons.reading import lessons
from tokenarium.ui.pages import find_pages


def main(arguments: Sequence[str]) -> int:
    """Write the hand-outs and return the exit status.

    Args:
        arguments: of the command line, after ``lessons``.
    """
    parser = argparse.ArgumentParser(
        prog="tokenarium lessons", description="Write every lesson as one offline HTML hand-out."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder, made if it is not there")
    out: Path = parser.parse_args(list(arguments)).out
    out.mkdir(parents=True, exist_ok=True)
    find_pages()  # lessons stand beside these
    with Lab(Settings(_cli_parse_args=False, database="duckdb:///:memory:", hosted=False)) as lab:
        for lesson in lessons().values():
            target = out / f"{lesson.order}-{lesson.slug}.html"
            target.write_text(handout(lab, lesson), "utf-8")
    return 0
