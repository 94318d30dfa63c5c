"""New tokens in an old model: against a model with larger tables, and rows by hand."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.tokenization.toys import SETTINGS, TEXTS, bpe, bundled, sentencepiece
from tests.trace.conftest import Twins, twins
from tokenarium.backend import InitialiserSpec, Lab, NewTokensRequest, NewTokensResult, UserError
from tokenarium.backend.tokenization.new_tokens.added import _scale, added, tables_of
from tokenarium.backend.tokenization.new_tokens.initialiser import Initialiser, NewTokens, Rows
from tokenarium.backend.tokenization.new_tokens.words import words_of
from tokenarium.backend.tokenization.scoring import surprisals
from tokenarium.backend.tokenization.segmentation import read

__all__ = ["twins"]

DRAFT = "bundled/draft"
TEXT = "The seaweed and the seawater saw seaweed; Seaweed saw nothing."
INITIALISERS = Initialiser.registry.all()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(SETTINGS) as made:
        yield made


@pytest.fixture(scope="module")
def result(lab: Lab) -> NewTokensResult:
    return lab.run(NewTokensRequest(model=DRAFT, text=TEXT, most=3)).result


def new_tokens(seed: int = 0) -> NewTokens:
    draw = torch.Generator().manual_seed(1)
    table = torch.randn(300, 8, generator=draw)

    def embed(texts):
        return torch.stack([table[list(ids)].mean(0) for ids in texts])

    pieces = ((3, 4), (7,), (9, 10, 11))
    lengths = ((1, 3), (2,), (1, 1, 4))
    contexts = ((5, 6, 20), (), (8,))
    return NewTokens(pieces, lengths, table, table * 2, embed, seed, contexts, encode)


def encode(text: str) -> list[int]:
    """Return two tokens of a table of 300 for each word, by its letters."""
    word = text.strip()
    return [sum(map(ord, word)) % 300, (7 * ord(word[-1]) + len(word)) % 300]


@pytest.mark.parametrize("method", INITIALISERS, ids=lambda found: found.slug)
def test_rows_have_the_shape_of_the_tables_and_come_again(method: type[Initialiser]) -> None:
    assert method.explanation.endswith(".")
    assert method.paper
    assert all(field.description for field in method.model_fields.values())
    rows, again = method().rows(new_tokens()), method().rows(new_tokens())
    for one, other in ((rows.table_in, again.table_in), (rows.table_out, again.table_out)):
        assert one.shape == (3, 8)
        assert torch.equal(one, other)


def rows_of(slug: str, seed: int = 0, **parameters: float) -> Rows:
    return InitialiserSpec(slug, parameters).method.rows(new_tokens(seed))


def test_the_mean_of_one_piece_is_its_row() -> None:
    new, rows = new_tokens(), rows_of("mean_of_pieces")
    assert torch.equal(rows.table_in[1], new.table_in[7])
    np.testing.assert_allclose(rows.table_out[0], (new.table_out[3] + new.table_out[4]) / 2)


def test_random_rows_are_spread_as_the_table_is() -> None:
    assert not torch.equal(rows_of("random_row").table_in, rows_of("random_row", 1).table_in)
    new = new_tokens()
    many = [rows_of("random_row", seed).table_out for seed in range(400)]
    found = torch.cat(many)
    np.testing.assert_allclose(found.mean(0), new.table_out.mean(0), atol=0.25)
    np.testing.assert_allclose(found.std(0), new.table_out.std(0), rtol=0.12)


def test_token_adapt_is_weighted_as_counted_by_hand() -> None:
    new, rows = new_tokens(), rows_of("token_adapt", similar=2, temperature=0.5, share=0.25)
    table = new.table_in.numpy().astype(float)

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    for number, (pieces, lengths) in enumerate(zip(new.pieces, new.lengths, strict=True)):
        whole = table[list(pieces)].mean(0)
        local = np.array([np.exp(cosine(table[p], whole) / 0.5) for p in pieces]) * lengths
        near = np.array([cosine(row, whole) for row in table])
        best = np.argsort(-near)[:2]
        weights = np.exp(near[best] / 0.5)
        expected = 0.75 * local @ table[list(pieces)] / local.sum()
        expected += 0.25 * weights @ table[best] / weights.sum()
        np.testing.assert_allclose(rows.table_in[number], expected, atol=1e-5)
        np.testing.assert_allclose(rows.table_out[number], 2 * expected, atol=1e-5)
        assert set(rows.near[number]) == set(best.tolist())


def test_an_old_token_that_is_entered_again_has_its_own_row() -> None:
    rows = rows_of("token_adapt", share=0)
    np.testing.assert_allclose(rows.table_in[1], new_tokens().table_in[7], atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "granite"])
def test_added_tokens_cost_what_a_model_with_larger_tables_says(family: str, twins: Twins) -> None:
    loaded, oracle = twins(family)
    table, _ = tables_of(loaded)
    draw = torch.Generator().manual_seed(0)
    rows = Rows(*(0.05 * torch.randn(2, table.shape[1], generator=draw) for _ in range(2)))
    first = len(table)
    ids = [5, first, 9, first + 1, first, 6]
    with torch.inference_mode(), added(loaded, rows) as begin:
        assert begin == first
        found = surprisals(loaded, ids, [1], lambda: None)
    large = copy.deepcopy(oracle)
    for name, more in (("input", rows.table_in), ("output", rows.table_out)):
        old = getattr(oracle, f"get_{name}_embeddings")().weight.data
        getattr(large, f"get_{name}_embeddings")().weight = torch.nn.Parameter(
            torch.cat([old, more])
        )
    with torch.no_grad():
        logits = large(input_ids=torch.tensor([[1, *ids]])).logits[0]
        after = loaded.model(input_ids=torch.tensor([[1]])).logits  # nothing of it is left
    np.testing.assert_allclose(
        found, -logits.log_softmax(-1)[range(len(ids)), ids], atol=1e-4, rtol=1e-4
    )
    assert after.shape[-1] == first


def test_scaled_embeddings_are_scaled_for_new_tokens_too() -> None:
    class Scaled(torch.nn.Embedding):
        def forward(self, ids):
            return super().forward(ids) * 5.5

    assert _scale(Scaled(9, 4)) == pytest.approx(5.5)


def test_the_run_counts_words_and_costs(lab: Lab, result: NewTokensResult) -> None:
    vocabulary = bundled()
    native = list(read(vocabulary, TEXT).native)
    assert result.native_tokens == len(native)
    assert result.new_token[0] == " seaweed"
    assert result.pieces[0].replace("|", "") == " seaweed"
    assert result.occurrences.tolist() == [2, 1, 1]
    lengths = [len(each.split("|")) for each in result.pieces]
    saved = sum(n * (k - 1) for n, k in zip(result.occurrences, lengths, strict=True))
    assert result.tokens == len(native) - saved
    assert result.initialiser == ("token_adapt", "mean_of_pieces", "random_row")
    whole = result.nats_per_byte * result.text_bytes
    native_nats = result.native_nats_per_byte * result.text_bytes
    change = ((result.new_nats - result.native_nats) * result.occurrences).sum(1)
    np.testing.assert_allclose(whole - native_nats, change + result.elsewhere_nats, atol=1e-3)
    assert all(len(each.split("|")) == 3 for each in result.similar)


@pytest.mark.parametrize("text", [TEXTS[0], TEXTS[1], TEXTS[3], "aab ab; aab a_1 <0x41> ab"])
def test_words_are_found_without_pre_tokens_and_are_all_of_the_text(text: str) -> None:
    reading = read(sentencepiece(), text)
    assert len(reading.pieces) == 1
    words = words_of(reading)
    assert [key for word in words for key in word] == list(reading.native)
    spelled = [b"".join(reading.vocabulary.spelled[k] for k in word).decode() for word in words]
    assert "".join(spelled).removeprefix(" ") == text
    assert all(word.strip().isalpha() for word in spelled if any(map(str.isalpha, word)))
    for word in text.replace(",", " ").replace(";", " ").split():
        assert not word.isalpha() or word in map(str.strip, spelled)


def test_a_token_beyond_a_word_keeps_its_words_together() -> None:
    vocabulary = bpe([("a", "Ġ"), ("aĠ", "b")], "abĠ,")
    words = words_of(read(vocabulary, "ab a b, bb"))
    assert [b"".join(vocabulary.spelled[k] for k in word) for word in words] == [
        b"ab", b" a b", b",", b" bb",
    ]  # fmt: skip


def test_words_are_chosen_by_name(lab: Lab) -> None:
    request = NewTokensRequest(
        model=DRAFT, text=TEXT, words=("Seaweed",), initialisers=["mean_of_pieces"]
    )
    assert lab.run(request).result.new_token == (" Seaweed",)


def test_tokens_of_another_language_cost_what_their_pieces_say(lab: Lab) -> None:
    """What is new is what an extended tokenizer cuts, and one way to make rows is enough."""
    corpus = "a estação não é a estação; a nação e a canção. " * 3
    asked = {"model": DRAFT, "text": "A canção da nação não é a estação.", "corpus": corpus}
    request = NewTokensRequest(**asked, most=4, initialisers=["mean_of_pieces"])
    found = lab.run(request).result
    new = lab.tokenizers.get(lab.tokenizers.extend(DRAFT, corpus, 500).name)
    native = read(bundled(), asked["text"]).native
    cut = read(new, asked["text"]).native
    assert found.native_tokens == len(native)
    assert {*found.new_token} <= {new.spelled[key].decode() for key in cut}
    lengths = [len(each.split("|")) for each in found.pieces]
    saved = sum(n * (k - 1) for n, k in zip(found.occurrences, lengths, strict=True))
    assert found.tokens == len(native) - saved
    assert lab.run(NewTokensRequest(**asked, most=128)).result.tokens == len(cut)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"words": ("saw",), "corpus": "a b a b"}, "words and corpus are both given"),
        ({"corpus": "a \ud83d"}, "corpus"),
        ({"corpus": "não não não"}, "no token that is trained on corpus stands in this text"),
        ({"words": ("fish",)}, "words has 'fish', which is no word of the text"),
        ({"words": ("saw",)}, "words has 'saw', which is one token already"),
        ({"words": (" a",)}, "give words without spaces around them"),
        ({"words": ("Seaweed", "Seaweed")}, "twice"),
        ({"text": "the king and the queen"}, "every word of this text is one token already"),
        ({"text": "seaweed"}, "a text of several words"),
        ({"initialisers": ("none",)}, "initialiser='none' is unknown"),
    ],
)
def test_what_cannot_be_swapped_is_refused(lab: Lab, values: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        lab.run(lab.request(NewTokensRequest, **{"model": DRAFT, "text": TEXT, **values}))
