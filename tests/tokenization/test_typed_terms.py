"""K-Tokeniser's rows by type: planted tables, and the mixture counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.tokenization.test_new_tokens import new_tokens
from tests.tokenization.toys import bundled
from tokenarium.backend import InitialiserSpec
from tokenarium.backend.tokenization.new_tokens.initialiser import NewTokens, Rows
from tokenarium.backend.tokenization.new_tokens.initialisers.typed_terms import TYPES
from tokenarium.backend.tokenization.new_tokens.runner import contexts
from tokenarium.backend.tokenization.new_tokens.words import words_of
from tokenarium.backend.tokenization.segmentation import read

NAMES = [*TYPES]
WORDS = [word for words in TYPES.values() for word in words.split()]


def planted(around: str, share: float = 1.0) -> tuple[NewTokens, Rows]:
    """Return a table in which each term is a token beside the axis of its type, and the rows.

    The new token has pieces of no type, and one word of a type around it.
    """
    size, draw = len(WORDS), torch.Generator().manual_seed(0)
    table = 0.3 * torch.randn(size + 4, 12, generator=draw) + 1
    table[size + 2 :] = 1
    for number, word in enumerate(WORDS):
        kind = next(n for n, words in enumerate(TYPES.values()) if word in words.split())
        table[number, kind] += 3
    new = NewTokens(
        pieces=((size, size + 1),),
        lengths=((2, 3),),
        table_in=table,
        table_out=-table,
        embed=lambda texts: torch.stack([table[list(ids)].mean(0) for ids in texts]),
        seed=0,
        contexts=((size + 2, WORDS.index(around), size + 3),),
        encode=lambda text: [WORDS.index(text.strip())],
    )
    rows = InitialiserSpec("typed_terms", {"share": share}).method.rows(new)
    return new, rows


@pytest.mark.parametrize("kind", range(len(NAMES)))
def test_the_sentence_chooses_the_type(kind: int) -> None:
    words = TYPES[NAMES[kind]].split()
    new, rows = planted(words[3])
    places = [WORDS.index(word) for word in words]
    np.testing.assert_allclose(rows.table_in[0], new.table_in[places].mean(0), atol=1e-6)
    np.testing.assert_allclose(rows.table_out[0], -rows.table_in[0], atol=1e-6)
    [[term]] = rows.near
    table = new.table_in.numpy()
    middle = table[: len(WORDS)].mean(0)
    around = table[list(new.contexts[0])].mean(0) - middle
    alike = [(table[at] - middle) @ around / np.linalg.norm(table[at] - middle) for at in places]
    assert term == places[int(np.argmax(alike))]


def test_share_mixes_pieces_and_type() -> None:
    new, whole = planted("aspirin")
    _, none = planted("aspirin", 0)
    _, some = planted("aspirin", 0.25)
    pieces = new.table_in[list(new.pieces[0])].mean(0)
    np.testing.assert_allclose(none.table_in[0], pieces, atol=1e-6)
    expected = 0.75 * pieces + 0.25 * whole.table_in[0]
    np.testing.assert_allclose(some.table_in[0], expected, atol=1e-6)


def test_a_token_without_a_sentence_is_judged_by_its_pieces() -> None:
    new = replace(new_tokens(), contexts=((), (), ()))
    alone = InitialiserSpec("typed_terms").method.rows(new)
    own = InitialiserSpec("typed_terms").method.rows(replace(new, contexts=new.pieces))
    assert torch.equal(alone.table_in, own.table_in)


def test_no_term_stands_twice_and_types_are_as_large() -> None:
    assert len(set(WORDS)) == len(WORDS)
    assert {len(words.split()) for words in TYPES.values()} == {14}


def test_a_context_is_the_rest_of_its_sentences() -> None:
    vocabulary = bundled()
    assert vocabulary.name == "bundled/target"
    text = "The seaweed grew. A king saw nothing. Old seaweed is red!"
    words = words_of(read(vocabulary, text))
    spelled = [b"".join(vocabulary.spelled[key] for key in word) for word in words]
    seaweed = words[spelled.index(b" seaweed")]
    [found] = contexts(words, [seaweed], vocabulary)
    said = b"".join(vocabulary.spelled[key] for key in found)
    assert said == b"The grew. Old is red!"
