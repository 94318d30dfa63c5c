"""A number that stands on a page of runs opens what it is: a new one that opens nothing fails."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import orjson
import pytest

import tokenarium
from tests.contracts.opening import MARK, given_again
from tests.contracts.test_why import assert_shown
from tests.contracts.test_why_costs import Explains
from tests.contracts.visits import pressed
from tests.ui.browser_stub import Visit
from tokenarium.backend import Lab
from tokenarium.ui.compare.answer import answer
from tokenarium.ui.components.colouring import COLOURINGS
from tokenarium.ui.components.decoding import decoding_value
from tokenarium.ui.components.trees import tree_value
from tokenarium.ui.pages import find_pages
from tokenarium.ui.shell.section import MAIN
from tokenarium.ui.text import escape
from tokenarium.ui.why.explain import explained

PAGES = find_pages()
OTHER = re.compile(
    r'<div class="tk-(?:attributed|lane-strip)\b[^>]*>.*?</div>|'  # texts, as tokens
    r"<(code|a|th|h2|h3|summary|cite|script|style|small)\b[^>]*>.*?</\1>|"
    r"<button[^>]*(?:data-select|data-copy|tk-csv)[^>]*>.*?</button>",
    re.DOTALL,
)
"""What a reader chooses by, copies or is told by: places, names, formulas, headings."""
QUOTED = re.compile(r"“[^”]*”")
KNOWN = re.compile(
    r"\b(?:[Tt]oken|layer|head|token|step|cluster|round|turn|seed|rank) \d+(?: to \d+)?|"  # a place
    r"temperature [\d.]+|\b95 ?%|\(?\b(?:19|20)\d\d\)?|arXiv:[\d.]+|doi:[\d./]+|"
    r"\b[A-Za-z][\w-]*\d[\w.-]*|"  # a name: H2O, float32, SmolLM2-135M
    r"\d+ x \d+ \+|-?\d+(?:\.\d+)?e[-+]?\d+ "
)
"""Digits that are no measured number."""

PLAIN = {
    "facts": r"^run [\w-]+|commit \w+.*",
    "card": r"^.*\b(?:0 means|near 0 is|0 looks at|5 % to 95 %).*$",
    "sinks_said": r"more than \d+%|[Bb]elow \d+ tokens",
    "sinks_table": r"more than \d+%|\d+\*? \(, x median\)|at least \d+ later",  # dimensions
    "heavy_table": r"^The \d+ heaviest",
    "heads_table": r"(?:above|below) [\d.]+",
    "compare_said": r"above \d+% in one",
    "follow_table": r"^The \d+ strongest",
    "heartbeat_table": r"^The \d+ longest",
    "heartbeat_said": r"at least [\d.]+",
    "intervene_said": r"over 30% of",
    "judge_said": r"over [\d.,]+",
    "judge_definitions": r"^.*$",
    "lens_said": r"float32",
    "sweep_choice": r"(?:at most|at least) [\d.]+\.",
    "measures": r"^1 \+ accepted",
    "best_tree": r"at most \d+ guesses, \d+ deep",
    "refused": r"^.*$",
    "sentence": r"\d+% asked|at most \d+% a token|from \d+ tokens on",
    "sweep_table": "^$",
}
"""By part of a page, what else it says with digits in it: settings, places, rules, constants."""


def plain(html: str, known: str = "^$") -> list[str]:
    """Return what of a part's sentences, cells and items has digits that open nothing."""
    left = QUOTED.sub("", OTHER.sub("", MARK.sub("", html)))
    parts = re.split(r"</?(?:p|div|li|td|tr|dd|dt|caption|section|ul|table|data)\b[^>]*>", left)
    words = (" ".join(unescape(re.sub("<[^>]+>", "", part)).split()) for part in parts)
    return [each for each in words if re.search(r"\d", KNOWN.sub("", re.sub(known, "", each)))]


def parts_of(visit: Visit) -> Iterator[tuple[str, str]]:
    """Yield the parts of a page that are HTML, by name."""
    for name, value in visit.values.items():
        if isinstance(value, str) and value.lstrip().startswith("<"):
            yield name, value


def looked_at(lab: Lab, visit: Visit, page: str) -> int:
    """Fail if a number of the page opens nothing, or not what stands there; return how many do."""
    seen, made = 0, dict[str, dict[str, Any]]()
    for name, html in parts_of(visit):
        known = PLAIN.get(name.rpartition(".")[2], "^$")
        assert not (left := plain(html, known)), (page, name, left)
        run = visit.shown(name.rpartition(".")[0] or MAIN)
        around = html if "<div data-run=" in html else f'<div data-run="{run}">{html}</div>'
        seen += given_again(Explains(visit), around, made)
    return seen


@pytest.fixture(autouse=True)
def own(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenarium, "Lab", lambda: lab)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.title)
def test_no_number_of_a_page_is_plain_text(lab: Lab, page: Any) -> None:
    seen = 0
    for section in (page, *page.beside):
        for example in lab.examples(section.kinds[0].kind)[:1]:
            visit = Visit(lab, page)
            visit.open(example.run_id, section.slug)
            for view in (*visit.page.tabs, None) if section.slug == MAIN else [None]:
                if view is not None:
                    visit.pick(view=view)
                seen += looked_at(lab, visit, f"{page.title}, {section.slug}, {view}")
    assert seen >= 5


def test_no_number_of_what_a_view_measures_is_plain_text(lab: Lab) -> None:
    [explore] = (page for page in PAGES if page.title == "Explore")
    visit = Visit(lab, explore)
    pressed(visit, MAIN)
    visit.values["second_text"] = "The young queen saw it, too."
    for view, panel in visit.page.tabs.items():
        visit.pick(view=view)
        for action in panel.actions():
            visit.every(visit.handlers.act(panel, action, visit.asker()))
        assert looked_at(lab, visit, view) >= 5
    for name in ("follow_table", "heartbeat_table", "intervene_said", "judge_table", "heads_table"):
        assert MARK.search(visit.values[name]), name
    assert MARK.search(visit.values["lens_said"]) or not visit.values["lens_said"]


def test_no_number_that_a_script_writes_is_plain_text(lab: Lab) -> None:
    """Of lanes, journals, branches and trees, whose sentences a script gets in parts."""
    run = lab.open("example-where-it-hesitates")
    lanes = orjson.loads(decoding_value(run.result, run.id))["lanes"]
    said = [lane["cost"] for lane in lanes]
    said += [one["reason"] for lane in lanes for one in lane["remarks"]]
    run_ids, sources = [run.id], [said]
    tree = lab.examples("speculate")[1]
    titles = {rule.slug: rule.title for rule in lab.methods("rule")}
    result = lab.open(tree.run_id).result
    run_ids.append(tree.run_id)
    sources.append([node["why"] for node in tree_value(result, 0, titles)["nodes"]])
    seen = 0
    for run_id, sentences in zip(run_ids, sources, strict=True):
        for parts in sentences:
            text = "".join(part for part, *of in parts if not of)
            assert not plain(escape(text)), text
            for shown, written in (part for part in parts if len(part) == 2):
                seen += 1
                assert_shown(shown, float(explained(lab, run_id, written)["value"]))
    assert seen >= 12


def test_a_plain_number_is_seen() -> None:
    assert plain("<p>It holds 0.31 of it, in layer 3.</p>") == ["It holds 0.31 of it, in layer 3."]
    assert not plain('<p>It holds <button data-why="a 1">0.31</button>, at 95 %, by H2O.</p>')
    assert plain('<table><tr><td>H2O</td><td>0.5</td><td data-x="3">a</td></tr></table>') == ["0.5"]


def test_no_number_of_a_comparison_is_plain_text(lab: Lab) -> None:
    visit = Visit(lab, PAGES[0])
    for kind in ("trace", "speculate", "decode"):
        ids = [example.run_id for example in lab.examples(kind)[:2]]
        found = answer(lab, ids, "", None, None)
        for part in ("sentence", "table"):
            assert not (left := plain(found[part])), (kind, part, KNOWN.sub("", left[0]))
            assert given_again(Explains(visit), found[part], {}) >= 1


def test_numbers_that_scripts_ask_for_are_what_they_draw(lab: Lab) -> None:
    run = lab.open("example-what-is-kept")
    gone, prompt = run.result.evicted_at[2, 3, 1], len(run.result.prompt_ids)
    expected = {
        "held 2 3 1 7": sum(not 0 <= at <= 7 for at in gone[: prompt + 7].tolist()),
        "seen 7": prompt + 7,
    }
    assert_explained(lab, run.id, expected)
    run = lab.open(lab.examples("speculate")[1].run_id)
    rounds, nodes, plain_ms = run.result.rounds, run.result.node_columns, run.result.plain_step_ms
    spent = [float(sum(row[f"{part}_ms"] for part in ("draft", "verify", "other")))
             for row in rounds]  # fmt: skip
    new = rounds["new_tokens"].tolist()
    fields = {"q_raw": "q_raw", "p_used": "p_used", "accept": "accept_prob", "u": "u",
              "reach": "p_reach", "stays": "p_accept_path", "kl": "kl_nats"}  # fmt: skip
    expected = {
        **{f"node_{name} 3": float(nodes[field][3]) for name, field in fields.items()},
        "node_rank 3": int(nodes["sibling_rank"][3]) + 1,
        "node_choice 3": int(nodes["target_rank"][3]) + 1,
        "round_verify_ms 4": float(rounds["verify_ms"][4]),
        "race_tokens 5": sum(new[:5]),
        "race_rate 5": 1e3 * sum(new[:5]) / sum(spent[:5]),
        "race_pass 5": sum(new[:5]) / 5,
        "race_ms": sum(spent),
        "race_plain_rate 4": 4e3 / float(plain_ms[:4].sum()),
        "race_plain_tokens 4": 4,
        "race_plain_pass 4": 1,
    }
    assert_explained(lab, run.id, expected)


def test_numbers_that_colour_the_strip_are_what_they_draw(lab: Lab) -> None:
    run = lab.open("example-first-token")
    values = {n: each.values(run.result, 3, 1)[4:7] for n, each in COLOURINGS.items()}
    assert_explained(
        lab,
        run.id,
        {
            f"colour_{n} 4 7" + (" 3 1" if each.of_head else ""): float(
                values[n].sum(dtype=float) if each.total else values[n].mean(dtype=float)
            )
            for n, each in COLOURINGS.items()
        },
    )


def assert_explained(lab: Lab, run_id: str, expected: dict[str, float]) -> None:
    for written, value in expected.items():
        told = explained(lab, run_id, written)
        assert float(told["value"]) == pytest.approx(value, rel=1e-5, nan_ok=True), written
        assert told["meaning"]
