"""Tokenizers read from files of tiktoken: their merges are recovered, and they cut as it does.

The twin below merges by ranks alone, as tiktoken says it does, over pre-tokens that another library
of regular expressions finds; ``tests/external/test_tiktoken.py`` asks tiktoken itself.
"""

import base64
import json
from functools import cache
from pathlib import Path

import pytest
import regex
from tokenizers import Tokenizer

from tests.tokenization.toys import SETTINGS, TEXTS
from tokenarium.backend import Lab, Settings, TokenizeRequest, UserError
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.tokenization.engine import InProcess
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.tiktoken_file import ENCODINGS, merged_pair, tokenizer_json
from tokenarium.backend.tokenization.training import train
from tokenarium.backend.tokenization.vocabulary import Vocabulary, vocabulary_of

CORPUS = (
    "The old king's 1234567 birds don't see it.\n\n  naïve CAFÉ /x/y:// in the sea, Straße\r\n"
    "aaaa aaaaa aaa def f(x):\n    return x ** 2   \n"
) * 6
HARD = (
    "It'S we'LL '\u017f they'Kx  \n\n  x",
    "it ends  \n  ",
    "a\r\n b\t\t c \u3000\u2003x\u0085y\u00a0z",
    "½ ١٢٣٤٥ ², 12345 camelCaseHTTPServer o'RE path/to//\n/x://",
    "aaaaaaaaaaa <|endoftext|> " + " " * 40 + "x",
)


def trained() -> Vocabulary:
    return train(CORPUS, "bpe", 420, words=True, name="x", title="x")


@cache
def ranks() -> dict[bytes, int]:
    """Return ranks as tiktoken has them: bytes first, then what was merged, in its order."""
    made = trained()
    tokens = [bytes([byte]) for byte in range(256)]
    tokens += [made.bytes_of(left + right) for left, right in made.merge_list]
    return {token: rank for rank, token in enumerate(tokens)}


def written(of: dict[bytes, int]) -> bytes:
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in of.items())


def made(name: str) -> Vocabulary:
    state = tokenizer_json(written(ranks()), name)
    return vocabulary_of(state, name, name, InProcess(Tokenizer.from_str(state)))


def twin(text: str, name: str) -> list[int]:
    """Return what tiktoken gives: neighbours that make the token of the lowest rank, leftmost."""
    found: list[int] = []
    for piece in regex.findall(ENCODINGS[name].pattern.replace(r"\z", r"\Z"), text):
        parts = [bytes([byte]) for byte in piece.encode()]
        if piece.encode() in ranks():
            parts = [piece.encode()]
        while True:
            pairs = [parts[at] + parts[at + 1] for at in range(len(parts) - 1)]
            known = [(ranks()[pair], at) for at, pair in enumerate(pairs) if pair in ranks()]
            if not known:
                break
            at = min(known)[1]
            parts[at : at + 2] = [pairs[at]]
        found += [ranks()[part] for part in parts]
    return found


def test_merges_are_recovered_from_ranks() -> None:
    assert made("cl100k_base").merge_list == trained().merge_list


def test_the_pair_of_a_token_by_hand() -> None:
    known = {b"ab": 0, b"bc": 1, b"abc": 2, b"cd": 3, b"abcd": 4, b"xyz": 5}
    assert merged_pair(b"abc", known) == (b"ab", b"c")
    assert merged_pair(b"abcd", known) == (b"abc", b"d")
    assert merged_pair(b"xyz", known) is None
    assert merged_pair(b"a", known) is None


@pytest.mark.parametrize("name", ["gpt2", "cl100k_base", "o200k_base"])
def test_texts_are_cut_as_by_ranks(name: str) -> None:
    vocabulary = made(name)
    for text in (*TEXTS, *HARD, CORPUS[:300]):
        reading = read(vocabulary, text)
        assert list(reading.native) == twin(text, name), text
        assert reading.spelled


def test_patterns_differ_where_encodings_do() -> None:
    cut = {name: len(read(made(name), "1234567").pieces) for name in ("gpt2", "cl100k_base")}
    assert cut == {"gpt2": 1, "cl100k_base": 3}
    assert len(read(made("o200k_base"), "camelCase").pieces) == 2


def test_special_tokens_keep_their_ids_and_are_plain_text_here() -> None:
    vocabulary = made("cl100k_base")
    assert vocabulary.added[100276] == "<|endofprompt|>"
    assert 100257 not in read(vocabulary, "<|endoftext|>").native
    assert made("p50k_edit").added[50283] == "<|fim_suffix|>"


def test_a_token_that_no_merge_makes_is_one_where_it_is_a_whole_pre_token() -> None:
    of = ranks() | {b"zqzq": 420}
    state = tokenizer_json(written(of), "gpt2")
    core = Tokenizer.from_str(state)
    assert core.encode("zqzq").ids == [420]
    assert core.encode("zqzqz").ids == [of[bytes([letter])] for letter in b"zqzqz"]
    assert len(json.loads(state)["model"]["merges"]) == len(trained().merge_list)


def test_a_path_is_a_tokenizer_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "small_cl100k_base.tiktoken"
    path.write_bytes(written(ranks()))
    with Lab(SETTINGS) as lab:
        text = HARD[0]
        result = lab.run(
            TokenizeRequest(text=text, tokenizers=(str(path),), segmenters=["native", "fewest"])
        ).result
        native = result.token_ids[result.segmentation == 0]
        assert native.tolist() == twin(text, "cl100k_base")
        assert 0 < result.tokens[1] <= result.tokens[0]
        steps = lab.tokenizers.merge_steps(str(path), "birds")
        assert steps[0] == tuple("birds")
        assert len(steps) == 1 + len("birds") - len(steps[-1])


@pytest.mark.parametrize(
    ("stem", "change", "words"),
    [
        ("mine", {}, "names no encoding.*exactly one of gpt2, r50k_base"),
        ("gpt2_or_cl100k_base", {}, "names more than one encoding"),
        ("gpt2", {b"\x07": None}, "has no token for the byte 0x07"),
        ("gpt2", {b"qqq": 7}, "has a rank twice"),
        ("gpt2", {b"qqq": 50256}, "rank 50256, which is <|endoftext|> in this encoding"),
        ("gpt2", {b"q" * 20_000: 421}, "tokens of up to 20,000 bytes"),
        ("gpt2", {b"": 420}, "gpt2.tiktoken is no token in base64"),
    ],
)
def test_what_is_no_such_file_is_refused(
    stem: str, change: dict[bytes, int | None], words: str
) -> None:
    of = {key: value for key, value in (ranks() | change).items() if value is not None}
    with pytest.raises(ModelRefused, match=words.replace("|", r"\|")):
        tokenizer_json(written(of), stem)


@pytest.mark.parametrize("line", [b"IQ==\n", b"!!! 3\n", b"IQ== x\n", b"IQ== 0 1\n", b"\xff 1\n"])
def test_a_broken_line_is_named(line: bytes) -> None:
    with pytest.raises(ModelRefused, match=r"line 1 of gpt2\.tiktoken is no token"):
        tokenizer_json(line + written(ranks()), "gpt2")


def test_a_public_page_reads_no_path(tmp_path: Path) -> None:
    path = tmp_path / "gpt2.tiktoken"
    path.write_bytes(written(ranks()))
    settings = Settings(database="duckdb:///:memory:", device="cpu", hosted=True)
    with Lab(settings) as lab, pytest.raises(UserError, match="is not offered here"):
        lab.tokenizers.get(str(path))
