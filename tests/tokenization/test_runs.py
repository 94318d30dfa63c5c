"""Runs that cut a text: stored without weights, scored as a trace is, refused in words."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.tokenization.toys import SETTINGS, bundled
from tokenarium.backend import (
    Lab,
    NextByteRequest,
    SegmenterSpec,
    Settings,
    TokenizeRequest,
    TraceRequest,
    UserError,
)

TARGET, DRAFT = "bundled/target", "bundled/draft"
TEXT = "The old king saw 12 birds over the naïve sea.\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(SETTINGS) as made:
        yield made


def test_without_a_model_no_weights_are_read_and_the_run_is_stored(lab: Lab) -> None:
    request = TokenizeRequest(model=None, text=TEXT, tokenizers=(TARGET,), segmenters=["bytes"])
    run = lab.run(request)
    assert lab.state(TARGET).state == "cold"
    assert run.result.tokens.tolist() == [len(TEXT.encode())]
    assert np.isnan(run.result.nats_per_byte).all()
    assert lab.run(request).id == run.id
    found = lab.search(kind="tokenize", method="bytes")
    assert [(each.id, each.model, each.text) for each in found] == [(run.id, "", TEXT)]


def test_native_tokens_cost_what_a_trace_of_them_says(lab: Lab) -> None:
    request = TokenizeRequest(
        model=TARGET, text=TEXT, tokenizers=(TARGET,), segmenters=["native", "bytes"]
    )
    result = lab.run(request).result
    trace = lab.run(TraceRequest(model=TARGET, text=TEXT)).result
    native = result.surprisal_nats[result.segmentation == 0]
    np.testing.assert_allclose(native, trace.surprisal_nats[1:], atol=2e-5)
    assert result.nats_per_byte[0] == pytest.approx(native.sum() / len(TEXT.encode()), rel=1e-5)
    assert result.nats_per_byte[1] > result.nats_per_byte[0]
    assert "<|bos|> stands before the text" in result.notes[0]


def test_another_models_tokenizer_is_cut_and_not_scored(lab: Lab) -> None:
    named = TokenizeRequest(model=DRAFT, text=TEXT, tokenizers=(TARGET, DRAFT))
    both = lab.run(named).result
    assert np.isfinite(both.nats_per_byte).all()  # the two share a vocabulary
    assert both.canonical.all()


def test_ranks_and_texts_are_the_vocabularys(lab: Lab) -> None:
    result = lab.run(TokenizeRequest(text=TEXT, tokenizers=(TARGET,))).result
    vocabulary = bundled()
    for key, rank in zip(result.token_ids, result.merge_rank, strict=True):
        if rank < 0:
            assert len(vocabulary.entries[int(key)]) == 1
        else:
            assert "".join(vocabulary.merge_list[rank]) == vocabulary.entries[int(key)]


def test_parameters_that_are_not_usual_are_named(lab: Lab) -> None:
    asked = [SegmenterSpec("stochastok", share=0.5), "stochastok"]
    result = lab.run(TokenizeRequest(text=TEXT, tokenizers=(TARGET,), segmenters=asked)).result
    assert result.segmenter == ("stochastok(share=0.5)", "stochastok")


def test_the_next_byte_inside_a_word_is_not_the_next_tokens(lab: Lab) -> None:
    result = lab.run(NextByteRequest(model=TARGET, prefix="Once upon a ti")).result
    assert result.exact.sum() == pytest.approx(1)
    assert chr(int(result.exact.argmax())) == "m"
    assert result.naive[ord("m")] < 0.5
    assert result.total_variation > 0.3


def test_prefixes_share_their_probability_out(lab: Lab) -> None:
    """P(x b), from the prefix x, is what covers of x b hold; less that the text ends there."""
    first = lab.run(NextByteRequest(model=TARGET, prefix="Once upon a ti")).result
    then = lab.run(NextByteRequest(model=TARGET, prefix="Once upon a tim")).result
    together = -first.prefix_nats + np.log(first.exact[ord("m")])
    assert -then.prefix_nats == pytest.approx(together, abs=1e-3)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"text": ""}, "text"),
        ({"text": "a", "tokenizers": (TARGET, TARGET)}, "tokenizers has bundled/target twice"),
        ({"text": "a", "segmenters": ("nativ",)}, "segmenter='nativ' is unknown"),
        ({"text": "a", "tokenizers": ("given/0123",)}, "is not here any more"),
        ({"text": "a", "tokenizers": ("no/such",)}, "is not on this machine"),
        ({"text": "a", "tokenizers": ("/nowhere/x.json",)}, "is no file"),
    ],
)
def test_what_cannot_be_cut_is_refused_in_words(lab: Lab, values: dict, words: str) -> None:
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        lab.run(lab.request(TokenizeRequest, **values))


def test_a_visitors_tokenizer_is_read_apart_and_named_by_its_content(lab: Lab) -> None:
    from tests.tokenization.toys import state_of_bpe

    given = lab.tokenizers.give(state_of_bpe([("a", "b")]), "mine.json")
    assert given.name.startswith("given/")
    assert given.title == "mine.json"
    request = TokenizeRequest(text="abba", tokenizers=(given.name,), segmenters=["native"])
    assert lab.run(request).result.tokens.tolist() == [3]
    with pytest.raises(UserError, match=r"is no tokenizer\.json that can be read"):
        lab.tokenizers.give("{}", "mine.json")


def test_a_public_page_reads_no_paths() -> None:
    with Lab(Settings(database="duckdb:///:memory:", device="cpu", hosted=True)) as hosted:
        wanted = TokenizeRequest(text="a", tokenizers=("/etc/x.json",))
        with pytest.raises(UserError, match="is not offered here"):
            hosted.run(wanted, visitor="somebody")
