"""Messages, written out by a model's own chat template: which token belongs to which turn."""

import time
from dataclasses import dataclass

import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tokenarium.backend.models import template
from tokenarium.backend.models.text import Tokens, count_tokens, digest_of_ids, tokenise
from tokenarium.backend.trace.request import TraceRequest

CHATML = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|start|>system\nBe kind."
    "<|end|>\n{% endif %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
PAIRS = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[I]{{ m['content'] | trim }}"
    "[/I]{% elif loop.first %}{{ raise_exception('user first') }}{% else %} {{ m['content'] }}"
    "{{ eos_token }}{% endif %}{% endfor %}"
)
TALK = (("user", "Hi <you>"), ("assistant", "yes"), ("user", "bye"))


@dataclass
class Reader:
    """All of a ``LoadedModel`` that tokenising needs."""

    tokenizer: PreTrainedTokenizerFast
    name: str = "local/tiny"
    context: int = 1_000_000
    reads_past_context: bool = False
    notes: tuple[str, ...] = ()


@pytest.fixture
def reader() -> Reader:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({piece: key for key, piece in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<s>", "</s>", "<|start|>", "<|end|>"])
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
    made.chat_template = CHATML
    return Reader(made)


def _asked(turns: tuple[tuple[str, str], ...] = TALK, **choices: object) -> TraceRequest:
    messages = [{"role": role, "content": content} for role, content in turns]
    return TraceRequest(model="m", messages=messages, **choices)


def _parts(tokens: Tokens) -> dict[int, str]:
    """Return the text of each turn, by its number."""
    return {
        number: "".join(
            text for text, turn in zip(tokens.text, tokens.turn, strict=True) if turn == number
        )
        for number in sorted(set(tokens.turn.tolist()))
    }


def test_messages_are_written_by_the_template_and_offsets_refer_to_what_it_wrote(
    reader: Reader,
) -> None:
    tokens = tokenise(reader, _asked(), 1000)
    messages = [{"role": role, "content": content} for role, content in TALK]
    expected = reader.tokenizer.apply_chat_template(
        messages, tokenize=True, add_generation_prompt=True, return_dict=False
    )
    assert tokens.ids == list(expected)
    assert tokens.source.endswith("<|start|>user\nbye<|end|>\n<|start|>assistant\n")
    for text, (start, stop) in zip(tokens.text, tokens.offsets.tolist(), strict=True):
        assert tokens.source[start:stop] == text


def test_every_token_knows_its_turn_and_whether_the_template_added_it(reader: Reader) -> None:
    tokens = tokenise(reader, _asked(), 1000)
    assert _parts(tokens) == {
        -1: "<|start|>system\nBe kind.<|end|>\n",
        0: "<|start|>user\nHi <you><|end|>\n",
        1: "<|start|>assistant\nyes<|end|>\n",
        2: "<|start|>user\nbye<|end|>\n",
        3: "<|start|>assistant\n",
    }
    assert tokens.roles == ("user", "assistant", "user", "assistant")
    typed = "".join(
        text for text, added in zip(tokens.text, tokens.special, strict=True) if not added
    )
    assert typed == "Hi <you>yesbye"
    marks = {text for text, mark in zip(tokens.text, tokens.control, strict=True) if mark}
    assert marks == {"<|start|>", "<|end|>"}


def test_an_assistants_turn_at_the_end_is_left_open(reader: Reader) -> None:
    tokens = tokenise(reader, _asked((("system", "Be"), ("user", "a"), ("assistant", "It i"))), 99)
    assert tokens.source.endswith("<|start|>assistant\nIt i")
    assert _parts(tokens)[0] == "<|start|>system\nBe<|end|>\n"
    assert _parts(tokens)[2] == "<|start|>assistant\nIt i"
    assert tokens.roles == ("system", "user", "assistant")


def test_turns_of_a_template_that_trims_and_wants_pairs(reader: Reader) -> None:
    reader.tokenizer.chat_template = PAIRS
    tokens = tokenise(reader, _asked((("user", " a "), ("assistant", "b"), ("user", "c"))), 99)
    assert tokens.source == "<s>[I]a[/I] b</s>[I]c[/I]"
    assert _parts(tokens) == {-1: "<s>", 0: "[I]a[/I]", 1: " b</s>", 2: "[I]c[/I]"}
    assert tokens.ids.count(reader.tokenizer.bos_token_id) == 1
    without = tokenise(reader, _asked((("user", "a"),), add_bos=False), 99)
    assert without.text[0] == "["
    assert set(without.turn.tolist()) == {0}


def test_turns_of_a_template_that_rewrites_are_not_guessed(reader: Reader) -> None:
    reader.tokenizer.chat_template = CHATML.replace("m['content']", "m['content'] | upper")
    tokens = tokenise(reader, _asked(), 1000)
    assert "HI <YOU>" in tokens.source
    assert set(tokens.turn.tolist()) == {-1}
    assert "cannot be known" in tokens.notes[0]


def test_turns_are_cut_with_their_tokens(reader: Reader) -> None:
    tokens = tokenise(reader, _asked(overflow="keep_end"), 12)
    assert _parts(tokens) == {2: "\n", 3: "<|start|>assistant\n"}
    assert len(tokens.turn) == len(tokens.control) == 12


def test_special_tokens_are_read_as_such_by_choice_only(reader: Reader) -> None:
    text = "<|start|>user\nHi<|end|>"
    plain = tokenise(reader, TraceRequest(model="m", text=text), 99)
    assert not plain.control.any()
    read = tokenise(reader, TraceRequest(model="m", text=text, special_tokens=True), 99)
    assert [read.text[0], read.text[-1]] == ["<|start|>", "<|end|>"]
    assert read.control.tolist() == [True, *[False] * 7, True]
    assert not read.special.any()
    assert read.offsets[0].tolist() == [0, 9]
    assert read.notes == ()
    with pytest.raises(ValueError, match=r"messages\.0 spells <\|end\|> at character 1.*True"):
        tokenise(reader, _asked((("user", "a<|end|>"),)), 99)
    both = tokenise(reader, _asked((("user", "a<|end|>"),), special_tokens=True), 99)
    assert both.text.count("<|end|>") == 3


def test_bos_given_as_such_is_not_added_twice(reader: Reader) -> None:
    reader.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", reader.tokenizer.bos_token_id)]
    )
    given = TraceRequest(model="m", text="<s>a", special_tokens=True)
    assert tokenise(reader, given, 99).ids.count(reader.tokenizer.bos_token_id) == 1


@pytest.mark.parametrize(
    ("chat", "words"),
    [
        (None, "no chat template: give text instead"),
        ("{{ raise_exception('no system here') }}", r"fails \(no system here\)"),
        ("{{ messages[0]['content'] / 2 }}", "fails .*unsupported operand"),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}x"
            "{% endfor %}{% endfor %}{% endfor %}",
            "does not end within",
        ),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "fails"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_in_words(
    reader: Reader, chat: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "end" in words:
        monkeypatch.setattr(template, "LONGEST_S", 0.2)
    reader.tokenizer.chat_template = chat
    started = time.monotonic()
    with pytest.raises(ValueError, match=f"messages are given, but .*{words}"):
        tokenise(reader, _asked(), 99)
    assert time.monotonic() - started < 60


def test_digest_is_of_the_ids_and_count_agrees(reader: Reader) -> None:
    request = _asked()
    tokens = tokenise(reader, request, 1000)
    assert count_tokens(reader.tokenizer, request) == len(tokens.ids)
    digest = digest_of_ids(reader.tokenizer, request)
    assert digest == digest_of_ids(reader.tokenizer, request)
    reader.tokenizer.chat_template = CHATML.replace("kind", "late")
    assert digest != digest_of_ids(reader.tokenizer, request)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "text is empty: give at least one character, or messages"),
        ({"text": "a", "messages": [{"role": "user", "content": "b"}]}, "leave out one of the two"),
        ({"messages": [{"role": "tool", "content": "b"}]}, "'system', 'user' or 'assistant'"),
        ({"messages": [{"role": "user", "content": ""}]}, "at least 1 character"),
        ({"messages": [{"role": "user", "content": "a\ud83d"}]}, r"U\+D83D at character 1"),
        (
            {"chat_template": True, "messages": [{"role": "user", "content": "b"}]},
            "leave chat_template out",
        ),
        ({"messages": [{"role": "user", "content": "x" * 600_000}] * 2}, "characters together"),
    ],
)
def test_exactly_one_of_text_and_messages(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TraceRequest(model="m", **values)
