"""The answer to a quality line as it stands on the page."""

import re
from typing import Any

import pytest

from tests.benchmark.sweep.by_hand import swept
from tests.ui.test_sentence import words
from tokenarium.backend import QUALITY_MEASURES, SweepRequest
from tokenarium.ui.components.budget_table import budget_answer, sentence
from tokenarium.ui.components.quality import line_of, quality_value
from tokenarium.ui.figures.tradeoff import tradeoff
from tokenarium.ui.panels.cache.tradeoff import lacking, points_table

ASKED = SweepRequest(model="m", task="passkey", policies=("recent", "h2o"))
RESULT = swept(
    {
        "full": {1.0: [0.0] * 8},
        "recent": {0.5: [0.3] * 8, 0.25: [0.4] * 8},
        "h2o": {0.5: [0.01] * 8, 0.25: [0.05] * 7 + [0.2]},
    }
)


def answer(line: float = 0.1, *, timed: bool = True, result: Any = RESULT) -> str:
    return budget_answer(result, ASKED, result.choose("kl", at_most=line), timed=timed)


def test_row_says_budget_quality_bound_bytes_and_time() -> None:
    found = answer()
    assert 'data-select="&#123;&quot;point&quot;:4&#125;">H2O' in found
    rows = map(words, re.findall("<tr>.*?</tr>", found, re.DOTALL))
    (row,) = (row for row in rows if "H2O" in row)
    assert row.startswith(
        "H2O 25% 0.0688 0.05 (0.05 to 0.2) 7 of 8; at least 47% of such exercises"
    )
    assert "5.0" in row
    assert "none of 2" in words(found)
    assert "5.0" not in answer(timed=False)
    assert "not measured on this machine" in answer(timed=False)


def test_settings_are_carried_by_their_buttons() -> None:
    found = answer()
    assert "tokenarium.apply" in found
    assert "ObservedAttentionPress(compression_ratio=0.75)" in found
    assert found.count("data-copy=") == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (0.1, "Held by H2O with 25% of the prompt. Recent only holds it at no budget that"),
        (0.35, "Held by H2O with 25%, Recent only with 50% of the prompt."),
        (0.001, "No policy holds it at a budget that was measured."),
    ],
)
def test_sentence_says_who_holds_the_line(line: float, said: str) -> None:
    assert said in sentence(RESULT.choose("kl", at_most=line)).text


def test_sentence_is_withheld_where_the_full_cache_fails() -> None:
    said = sentence(RESULT.choose("agree", at_least=1)).text
    assert "No policy" in said
    bad = swept({"full": {1.0: [0.7] * 8}, "h2o": {0.5: [0.6] * 8}})
    assert (
        "The full cache itself does not hold it (0)"
        in sentence(bad.choose("accuracy", at_least=1)).text
    )


def test_bound_is_withheld_in_words_for_one_prompt() -> None:
    one = swept({"full": {1.0: [0.0]}, "recent": {0.5: [0.0]}, "h2o": {0.5: [0.0]}})
    found = words(answer(result=one))
    assert "1 exercise was tried, which says little of others: it takes 5 or more." in found
    assert "at least" not in found


@pytest.mark.parametrize("sent", [None, 3, {"measure": "agree", "line": 0.5}, *(
    {"measure": "kl", "line": line} for line in (None, "1", True, -1, float("nan"), 1e9)
)])  # fmt: skip
def test_a_line_that_is_none_is_the_usual_one(sent: object) -> None:
    assert line_of(sent, "kl", RESULT) == 0.1
    assert line_of({"measure": "kl", "line": 0.25}, "kl", RESULT) == 0.25


def test_line_is_drawn_and_in_sight() -> None:
    figure = tradeoff(RESULT, "kl", "bytes", 0.7)
    assert figure.layout.shapes[0].y0 == figure.layout.shapes[0].y1 == 0.7
    assert figure.layout.yaxis.autorangeoptions.include == (0.7,)
    assert figure.layout.meta["quality"] == {"line": 0.7, "higher": False}
    assert not tradeoff(RESULT, "kl", "bytes").layout.shapes
    assert all(quality_value(name, 0.5)["title"] for name in QUALITY_MEASURES)


def test_a_measure_that_an_older_version_lacks_is_said_and_never_drawn() -> None:
    older = swept(
        {"full": {1.0: [0.0] * 2}, "h2o": {0.5: [0.01] * 2}},
        attention_recall=None,
        trial_attention_recall=None,
    )
    said = words(lacking(older, "recall"))
    assert "without attention recall: sweep again to have it" in said
    assert lacking(older, "kl") == lacking(RESULT, "recall") == ""
    assert older.choose("recall", at_least=0.9).budgets == ()
    assert not tradeoff(older, "recall", "bytes").data
    assert "n/a" in points_table(older)


def test_policies_without_a_score_are_named_and_no_other_stands_for_the_full_cache() -> None:
    nothing = [float("nan")] * 8
    found = words(answer(result=swept({"full": {1.0: nothing}, "recent": {0.5: [0.01] * 8}})))
    assert "Held by Recent only with 50% of the prompt." in found
    assert "No score of Full cache is known" in found
    found = words(answer(result=swept({"full": {1.0: nothing}, "recent": {0.5: [0.3] * 8}})))
    assert "No policy holds it" in found
    one = [0.01] * 7 + nothing[:1]
    found = words(answer(result=swept({"full": {1.0: [0.0] * 8}, "recent": {0.5: one}})))
    assert "No policy holds it" in found
    assert "No score of Recent only is known" in found
    assert "No point has a score" in answer(result=swept({"full": {1.0: nothing}}))


def test_how_many_exercises_it_takes_is_said_once() -> None:
    few = {"full": {1.0: [0.0]}, "recent": {0.5: [0.0], 0.25: [0.0]}}
    found = words(answer(result=swept(few)))
    assert found.count("says little of others") == 1
    assert "it takes 6 or more" in found
