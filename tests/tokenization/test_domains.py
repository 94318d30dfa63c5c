"""A domain's tokenizer against a general one: equal bytes, counts anew, and which saves where."""

import numpy as np
import pytest

from tests.tokenization.toys import bundled, tokenizers
from tokenarium.backend import DomainComparison, UserError
from tokenarium.backend.tokenization.domains import equal_bytes, split
from tokenarium.backend.tokenization.noise import blocks, stability
from tokenarium.backend.tokenization.training import train

SIZE = 400


def written(text: str, seed: int) -> str:
    words = text.split()
    draw = np.random.default_rng(seed)
    lines = [" ".join(words[at] for at in draw.integers(len(words), size=9)) for _ in range(130)]
    return "\n".join(lines) + "\n"


TEXTS = {
    "law": written("the lessee shall indemnify the lessor hereunder of any tort", 0),
    "talk": written("the old king saw a ship and told nobody of it at night", 1) * 2,
}


@pytest.fixture(scope="module")
def found() -> DomainComparison:
    return tokenizers().domain(TEXTS, SIZE, share=0.2, beside=["bundled/target"])


def test_the_last_fifth_is_held_out_and_no_line_cut() -> None:
    trained, held_out = split(TEXTS["law"])
    assert trained + held_out == TEXTS["law"]
    assert len(held_out) == pytest.approx(len(TEXTS["law"]) / 5, rel=0.1)
    assert trained.endswith("\n")


def test_both_are_trained_on_as_many_bytes(found: DomainComparison) -> None:
    parts, held_out = equal_bytes(TEXTS)
    assert {len(part) for part in parts.values()} == {found.trained_bytes}
    assert found.trained_bytes == min(len(split(text)[0]) for text in TEXTS.values())
    assert TEXTS["talk"].startswith(parts["talk"])
    assert found.held_out_bytes == tuple(len(each) for each in held_out.values())


def test_tokens_are_those_of_tokenizers_trained_apart(found: DomainComparison) -> None:
    parts, held_out = equal_bytes(TEXTS)
    apart = [
        train(parts[name], kind, SIZE, words=True, name="x", title="x")
        for name, kind in (("law", "bpe"), ("talk", "bpe"), ("law", "characters"))
    ]
    for vocabulary, rows in zip([*apart, bundled()], found.tokens_per_byte, strict=True):
        for text, each in zip(held_out.values(), rows, strict=True):
            tokens = sum(map(len, vocabulary.engine.encode(blocks(text))))
            assert each.value == pytest.approx(tokens / len(text))
            assert each.low <= each.value <= each.high
    assert found.noise[2] == stability(apart[2], held_out["law"], "ocr", 0.2)
    assert found.titles[:2] == ("BPE of law", "BPE of talk")


def test_each_tokenizer_saves_on_its_own_kind_of_text(found: DomainComparison) -> None:
    mine, other = found.ratios
    assert mine.high < 0.9 < 1.1 < other.low
    assert mine.value == pytest.approx(
        found.tokens_per_byte[0][0].value / found.tokens_per_byte[1][0].value
    )
    word = found.words[0]
    assert word.domain_tokens < word.general_tokens
    assert TEXTS["law"].count(word.text.strip()) >= word.occurrences > 0
    saved = [w.occurrences * (w.general_tokens - w.domain_tokens) for w in found.words]
    assert saved == sorted(saved, reverse=True)


def test_character_level_tokens_have_three_bytes_and_stand_noise_better(
    found: DomainComparison,
) -> None:
    made = tokenizers().train(TEXTS["law"], "characters", SIZE)
    assert max(map(len, made.spelled.values())) == 3
    assert made.title == "Character-level BPE 400"
    domain, _, characters, _ = found.noise
    assert characters.errors == domain.errors > 50
    assert characters.boundaries.value > domain.boundaries.value
    assert characters.recut.value < domain.recut.value


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"law": TEXTS["law"]}, "1 texts are given: give two"),
        ({"law": TEXTS["law"], "talk": "short"}, "the text 'talk' has 5 bytes"),
        ({"law": TEXTS["law"], "talk": "a" * 800_001}, "at most 800,000 are read"),
        ({"law": TEXTS["law"], "talk": "\ud83d" * 5_000}, "unpaired surrogate"),
    ],
)
def test_what_cannot_be_compared_is_refused(texts: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        tokenizers().domain(texts)
