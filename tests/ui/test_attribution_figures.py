"""Figures of an attribution, from the run that the page opens with."""

from tokenarium.backend import AttributeResult
from tokenarium.backend.runs.examples import read
from tokenarium.backend.runs.kind import KINDS
from tokenarium.ui.components.attribution import own_contrast
from tokenarium.ui.figures.attribution import score_bars


def test_units_that_are_written_alike_are_apart_on_the_axis() -> None:
    result = read(KINDS.find("attribute").examples[0]).result
    assert isinstance(result, AttributeResult)
    labels = score_bars(result).layout.yaxis.ticktext
    assert len(set(labels)) == len(labels) == 20
    assert labels[0] == "Warsaw"
    assert {"born (4)", "born (45)", "Marie (41)"} <= set(labels)


def test_the_contrast_of_the_example_goes_with_its_text() -> None:
    examples = KINDS.find("attribute").examples
    text = examples[0].request.given_text
    for given, against, left in (
        (text, "Paris", "Paris"),
        ("The sky is blue", "Paris", ""),
        ("The sky is blue", "green", "green"),
    ):
        asked = {"text": given, "against": against}
        assert own_contrast(examples, asked) == {"against": left}
