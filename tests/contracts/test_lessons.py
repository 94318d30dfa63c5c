"""Every lesson is true of its runs: addresses open, right answers pass, wrong ones get help."""

import html
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.hostile.classroom import live, values_of
from tests.ui.browser_stub import layout_of
from tokenarium.backend import Lab, Run
from tokenarium.backend.settings import PROJECT
from tokenarium.ui.lessons import command
from tokenarium.ui.lessons.checks import checks
from tokenarium.ui.lessons.handout import handout
from tokenarium.ui.lessons.judging import judge, seen, state_of
from tokenarium.ui.lessons.lesson import LESSON, STEP, Lesson, Step
from tokenarium.ui.lessons.markup import inline
from tokenarium.ui.lessons.reading import EXAMPLE, lessons, read
from tokenarium.ui.lessons.seen import Verdict
from tokenarium.ui.pages import find_pages
from tokenarium.ui.shell.section import MAIN, RunPage
from tokenarium.ui.shell.selection import PLACES, number_of

ASKED, SHOWN, OWN = "asked.", "shown", "own-run"
STEPS = [
    (lesson.slug, number, step)
    for lesson in lessons().values()
    for number, step in enumerate(lesson.steps, 1)
]
steps = pytest.mark.parametrize(
    ("slug", "number", "step"), STEPS, ids=[f"{slug}-{number}" for slug, number, _ in STEPS]
)


@pytest.fixture(scope="module")
def pages(lab: Lab) -> dict[str, RunPage]:
    return {page.path: page(lab) for page in find_pages()}


class WithOwn:
    """A lab in which some runs are others than the stored ones."""

    def __init__(self, lab: Lab, others: Mapping[str, Run]) -> None:
        self.lab, self.others = lab, others

    def open(self, run_id: str) -> Run:
        return self.others[run_id] if run_id in self.others else self.lab.open(run_id)


def own_runs(lab: Lab, step: Step, change: Mapping[str, str]) -> dict[str, Run]:
    """Return a run as a visitor would get it who changes fields of the request.

    Its result is that of the example that ``shown`` names, so that no model is needed; without one,
    a small model computes it, and the run it is compared with as well.
    """
    fields = {k.removeprefix(ASKED): _value(v) for k, v in change.items() if k.startswith(ASKED)}
    if not fields:
        return {}
    begun: Any = lab.open(step.state[MAIN])
    request = type(begun.request)(**{**begun.request.model_dump(), **fields})
    if SHOWN in change:
        return {OWN: replace(lab.open(EXAMPLE + change[SHOWN]), id=OWN, request=request)}
    small = {"model": "bundled/target", "max_new_tokens": 16}
    known = type(request).model_fields
    update = {k: v for k, v in small.items() if k in known and k not in fields}
    mine = replace(lab.run(request.model_copy(update=update)), id=OWN)
    update |= {"max_new_tokens": 16} if "max_new_tokens" in known else {}
    before = lab.run(begun.request.model_copy(update=update))
    return {OWN: mine, step.state[MAIN]: replace(before, id=step.state[MAIN])}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def judged(
    lab: Lab, pages: Mapping[str, RunPage], step: Step, change: Mapping[str, str]
) -> Verdict:
    state, answer = state_of(step, change)
    if any(name.startswith(ASKED) for name in change):
        state |= {"run": OWN, "runs": {**state["runs"], MAIN: OWN}}
    known: Any = WithOwn(lab, own_runs(lab, step, change))
    return judge(known, pages[step.page], step, state, answer)


@steps
def test_every_right_answer_passes(
    lab: Lab, pages: dict[str, RunPage], slug: str, number: int, step: Step
) -> None:
    assert step.right
    for change in step.right:
        found = judged(lab, pages, step, change)
        assert found.passed, (change, found.said)
        assert found.said.endswith((".", "”"))


@steps
def test_every_wrong_answer_fails_and_helps(
    lab: Lab, pages: dict[str, RunPage], slug: str, number: int, step: Step
) -> None:
    assert step.wrong
    for change in step.wrong:
        found = judged(lab, pages, step, change)
        assert not found.passed, change
        # What was seen, and what to do or where to look.
        assert len(found.said.split()) >= 6, found.said
        helps = ("look", "choose", "press", "type", "try", "begin", ":", ";", "left out")
        assert any(word in found.said.lower() for word in helps), found.said


@steps
def test_a_step_is_not_passed_as_it_opens(
    lab: Lab, pages: dict[str, RunPage], slug: str, number: int, step: Step
) -> None:
    assert not judged(lab, pages, step, {}).passed


@steps
def test_the_address_of_a_step_opens(
    lab: Lab, pages: dict[str, RunPage], slug: str, number: int, step: Step
) -> None:
    page = pages[step.page]
    assert MAIN in step.state, "say which stored run: run=<slug of an example>"
    for name, ids in step.state.items():
        if name in page.sections:
            for run_id in ids.split("."):
                assert type(lab.open(run_id).request) in page.sections[name].kinds
    assert step.state.keys() <= {*page.sections, "view", *PLACES, "round", "node"}
    if "view" in step.state:
        assert step.state["view"] in page.tabs
    result: Any = lab.open(step.state[MAIN]).result
    sizes = page.sizes(result)
    names = {"token": "tokens", "query": "tokens", "layer": "layers", "head": "heads"}
    names |= {"step": "steps", "round": "rounds"}
    for name, size in names.items():
        if name in step.state:
            place = number_of(step.state[name])
            assert place is not None
            assert place < sizes[size], (name, place)
    if "policy" in step.state:
        assert step.state["policy"] in result.policies
    address = urlsplit(lessons()[slug].address(number))
    query = dict(parse_qsl(address.query))
    assert query.pop(LESSON) == slug
    assert query.pop(STEP) == str(number)
    assert query == step.state


@steps
def test_what_a_step_is_about_is_on_its_page(
    lab: Lab, pages: dict[str, RunPage], slug: str, number: int, step: Step
) -> None:
    layout = layout_of(lab, type(pages[step.page]))
    made = {getattr(block, "elem_id", None) for block in layout.blocks.blocks.values()}
    assert step.look in made


@steps
def test_a_step_has_hints_and_known_checks(slug: str, number: int, step: Step) -> None:
    assert 2 <= len(step.hints) <= 3
    assert step.learned
    for asked in step.checks:
        signature = inspect.signature(checks()[asked.name])
        signature.bind(None, **asked.parameters)
    needs_answer = {"number_is", "choice_is"} & {asked.name for asked in step.checks}
    assert bool(needs_answer) == (step.question is not None)


def test_every_lesson_ends_with_a_run_that_changes_one_thing() -> None:
    assert lessons()
    for lesson in lessons().values():
        assert 5 <= len(lesson.steps) <= 8, lesson.slug
        last = lesson.steps[-1]
        assert last.live
        changed = live(lesson)[1]
        # What takes long is computed once for all students of a class who choose the same.
        assert changed == "text" or 2 <= len(values_of(last)) <= 5, lesson.slug
        assert "own_run" in {asked.name for asked in last.checks}


def test_a_check_believes_no_number_of_the_browser(lab: Lab, pages: dict[str, RunPage]) -> None:
    step = lessons()["sink"].steps[1]
    state, _ = state_of(step, {})
    assert not judge(lab, pages[""], step, {**state, "sink": 0.99, "sink_score": 1}, "").passed
    for odd in ({}, {"run": "no-such-run"}, {**state, "layer": -1, "head": "8"}, {"run": 5}):
        found = judge(lab, pages[""], step, odd, "")
        assert odd.get("layer") == -1 or not found.passed
        assert found.said


def test_a_step_of_another_page_says_so(lab: Lab, pages: dict[str, RunPage]) -> None:
    step = lessons()["sink"].steps[1]
    state, _ = state_of(step, step.right[0])
    found = judge(lab, pages["cache"], step, state, "")
    assert not found.passed
    assert "Start again" in found.said


FRONT = '+++\ntitle = "A"\norder = 1\nminutes = 1\nafter = "B"\n+++\n'
STEP_HEAD = "## C\n```step\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("## A step\n", "begin the file with"),
        ('+++\ntitle = "A"\n+++\n', "lack after, minutes, order"),
        ("+++\ntitle = A\n+++\n", "a: "),
        (FRONT, "no step"),
        (f"{FRONT}## C\n", "ends with one"),
        (f"{FRONT}{STEP_HEAD}x = 1\n```\n", "a, step 1: x is not known"),
        (f'{FRONT}{STEP_HEAD}open = "./"\n```\n', "a, step 1: lacks check, do, hints"),
    ],
)
def test_a_file_that_is_not_a_lesson_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(text, "a")


@pytest.mark.parametrize("lesson", lessons().values(), ids=lambda lesson: lesson.slug)
def test_a_hand_out_needs_nothing_else_and_has_every_answer(lab: Lab, lesson: Lesson) -> None:
    made = handout(lab, lesson)
    assert not re.search(r"<script|https?://|src=|href=|url\(|@import|\bon\w+=\"", made)
    assert made.count("<h2>") == len(lesson.steps) + 1
    before, answers = made.split("<h2>Answers</h2>")
    assert answers.count("<li>") == len(lesson.steps)
    for step in lesson.steps:
        assert step.title in html.unescape(before)
        assert inline(step.learned) in answers
        assert inline(step.learned) not in before
    assert len(made) < 400_000


def test_the_command_writes_every_lesson(tmp_path: Path) -> None:
    assert command.main(["--out", str(tmp_path / "new")]) == 0
    written = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert written == [f"{each.order}-{each.slug}.html" for each in lessons().values()]


def test_the_documents_lesson_is_one(lab: Lab, pages: dict[str, RunPage]) -> None:
    text = (PROJECT / "docs" / "lessons.md").read_text("utf-8")
    (written,) = re.findall(r"^````markdown\n(.*?)^````$", text, re.DOTALL | re.MULTILINE)
    (step,) = read(written, "example").steps
    assert all(judged(lab, pages, step, change).passed for change in step.right)
    assert not any(judged(lab, pages, step, change).passed for change in ({}, *step.wrong))
    for name in checks():
        assert f"`{name}`" in text


def test_where_a_policy_holds_a_token_is_counted_head_by_head(
    lab: Lab, pages: dict[str, RunPage]
) -> None:
    step = lessons()["heavy"].steps[3]
    state, _ = state_of(step, {"step": "1"})
    sight = seen(lab, pages["cache"], step, state, "")
    layers, heads = sight.cache.evicted_at.shape[1:3]
    held = sum(
        5 in sight.policy.kept(1, layer, head) for layer in range(layers) for head in range(heads)
    )
    assert 0 < held < layers * heads
    said = checks()["policy_holds"](sight, policy="h2o", token=5).said
    assert f"in {held} of {layers * heads} heads" in said
