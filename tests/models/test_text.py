"""Where every token stands, for every kind of text and every choice."""

import time
import unicodedata
from dataclasses import dataclass

import numpy as np
import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tokenarium.backend.models.text import decode_each, tokenise
from tokenarium.backend.trace.request import TraceRequest

TEXTS = {
    "one character": "x",
    "leading and trailing spaces": "  hello  world  ",
    "line ends": "hello\r\nworld\n\n\tend\r",
    "control characters": "a\x00b\x07\x1b[31m\x7f",
    "accents, composed": "caf\u00e9 na\u00efve",
    "accents, combining": "cafe\u0301 o\u0308\u0323",
    "emoji with joiners": "\U0001f469\u200d\U0001f680 \U0001f1eb\U0001f1f7 \u2764\ufe0f",
    "right to left": "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "wide": "\u65e5\u672c\u8a9e\uff0c\U00020000",
    "markup": "<script>alert(1)</script> ${alert(1)} {{x}}",
    "only spaces": "    ",
    "noncharacter": "\ufffe\ue000\u2028",
}


@dataclass
class Reader:
    """All of a ``LoadedModel`` that tokenising needs."""

    tokenizer: PreTrainedTokenizerFast
    name: str = "local/tiny"
    context: int = 1_000_000
    reads_past_context: bool = False
    notes: tuple[str, ...] = ()


def _sentencepiece():
    """A vocabulary in the manner of Llama 2: a space before the text, bytes as <0xNN>."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["\u2581", "h", "e", "l", "o", "w", "r", "d", "\u2581h", "ll", "\u2581\u2581"]
    merges = [("\u2581", "h"), ("l", "l"), ("\u2581", "\u2581")]
    core = Tokenizer(
        models.BPE(
            {piece: key for key, piece in enumerate(pieces)},
            merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    core.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    core.add_special_tokens(["<unk>", "<s>", "</s>"])
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def _trimming():
    """A byte-level vocabulary that composes characters and trims spaces from its offsets."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(
        models.BPE(
            {entry: key for key, entry in enumerate([*alphabet, "\u0120\u0120", "\u65e5"])},
            [("\u0120",) * 2],
        )
    )
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True)])
    return PreTrainedTokenizerFast(tokenizer_object=core)


def _words():
    """A vocabulary of whole words, which knows two and has no BOS."""
    core = Tokenizer(models.WordLevel({"[UNK]": 0, "hello": 1, "world": 2}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")


@pytest.fixture
def reader(tokenizer):
    return Reader(tokenizer)


def _read(reader, text, limit=1_000_000, **choices):
    return tokenise(reader, TraceRequest(model="m", text=text, **choices), limit)


def _assert_covers(text, tokens):
    """Every character belongs to a token, and tokens stand in the order of the text."""
    covered = np.zeros(len(text), bool)
    last = 0
    for (start, stop), special in zip(tokens.offsets.tolist(), tokens.special, strict=True):
        assert 0 <= start <= stop <= len(text)
        assert start >= last or special
        assert special == (start == stop)
        covered[start:stop] = True
        last = start
    assert covered.all()


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("kind", ["byte", "sentencepiece", "trimming"])
def test_tokenise_offsets_and_texts_spell_the_text(tokenizer, kind, text):
    made = {"byte": lambda: tokenizer, "sentencepiece": _sentencepiece, "trimming": _trimming}
    tokens = _read(Reader(made[kind]()), text)
    _assert_covers(text, tokens)
    for shown, (start, stop), special in zip(
        tokens.text, tokens.offsets.tolist(), tokens.special, strict=True
    ):
        part = text[start:stop]
        if not special and "<0x" not in shown:
            known = unicodedata.normalize("NFC", part) if kind == "trimming" else part
            assert shown in (known, f" {known}" if start == 0 else known)


def test_tokenise_byte_pieces_each_cover_their_character(reader):
    tokens = _read(reader, "a\u65e5b")
    assert tokens.text == ("<|bos|>", "a", "<0xE6>", "<0x97>", "<0xA5>", "b")
    assert tokens.offsets.tolist() == [[0, 0], [0, 1], [1, 2], [1, 2], [1, 2], [2, 3]]
    assert tokens.special.tolist() == [True, False, False, False, False, False]
    assert tokens.offsets.dtype == np.int32


def test_tokenise_spaces_stay_in_token_texts(reader):
    assert _read(reader, "hello w").text == ("<|bos|>", "hello", " w")
    assert _read(Reader(_sentencepiece()), "hello").text[1:] == (" h", "e", "ll", "o")


def test_tokenise_space_added_by_the_tokenizer_is_special():
    tokens = _read(Reader(_sentencepiece()), "\u65e5")
    assert tokens.text == ("<s>", " ", "<0xE6>", "<0x97>", "<0xA5>")
    assert tokens.special.tolist() == [True, True, False, False, False]
    typed = _read(Reader(_sentencepiece()), " e")
    assert typed.text == ("<s>", "  ", "e")
    assert typed.offsets.tolist() == [[0, 0], [0, 1], [1, 2]]


def test_tokenise_trimmed_spaces_and_lost_marks_return_to_a_token():
    tokens = _read(Reader(_trimming()), "a  e\u0301 b")
    assert tokens.text == ("a", " ", " ", "<0xC3>", "<0xA9>", " ", "b")
    assert tokens.offsets.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4], [3, 5], [5, 6], [6, 7]]
    assert _read(Reader(_trimming()), "e\u0301").offsets.tolist() == [[0, 1], [0, 2]]


def test_tokenise_spelled_special_token_is_plain_text_and_said(reader):
    tokens = _read(reader, "x<|bos|>y<|eos|>")
    assert tokens.ids.count(0) == 1
    assert 1 not in tokens.ids
    assert "".join(tokens.text[1:]) == "x<|bos|>y<|eos|>"
    assert tokens.special.tolist() == [True] + [False] * 16
    assert tokens.notes == (
        "the text spells <|bos|>, <|eos|>: read as plain characters, not as the special token",
    )
    assert _read(reader, "<|bo").notes == ()


def test_tokenise_bos_is_the_tokenizers_choice_unless_asked(reader):
    assert _read(reader, "a").ids[0] == 0
    assert _read(reader, "a", add_bos=True).ids == _read(reader, "a").ids
    without = _read(reader, "a", add_bos=False)
    assert without.text == ("a",)
    assert without.special.tolist() == [False]
    none_by_default = Reader(_trimming())
    none_by_default.tokenizer.bos_token = "!"
    assert _read(none_by_default, "a").text == ("a",)
    added = _read(none_by_default, "a", add_bos=True)
    assert added.text == ("!", "a")
    assert added.offsets.tolist() == [[0, 0], [0, 1]]
    assert added.special.tolist() == [True, False]


def test_tokenise_bos_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="add_bos=True, but local/tiny has no BOS token: leave"):
        _read(Reader(_words()), "hello", add_bos=True)


def test_tokenise_text_without_tokens_is_refused():
    with pytest.raises(ValueError, match=r"gives no tokens.*type at least one"):
        _read(Reader(_words()), "   ")


def test_tokenise_bos_alone_is_no_refusal():
    reader = Reader(_words())
    reader.tokenizer.bos_token = "[UNK]"
    assert _read(reader, "   ", add_bos=True).ids == [0]


def test_tokenise_unknown_words_are_counted(reader):
    tokens = _read(Reader(_words()), "hello strange new world")
    assert tokens.ids == [1, 0, 0, 2]
    assert tokens.notes == ("2 tokens are [UNK]: the vocabulary cannot spell what stands there",)


def test_request_refuses_empty_text_and_unpaired_surrogates():
    with pytest.raises(ValidationError, match="at least one character, or messages"):
        TraceRequest(model="m", text="")
    with pytest.raises(ValidationError, match=r"U\+D83D at character 1"):
        TraceRequest(model="m", text="a\ud83db")


def test_tokenise_too_long_is_refused_with_numbers_and_remedies(reader):
    assert len(_read(reader, "abcdef", limit=7).ids) == 7
    with pytest.raises(
        ValueError, match="is 7 tokens, the limit is 6: shorten it, or set overflow"
    ):
        _read(reader, "abcdef", limit=6)


def test_tokenise_keep_start_and_keep_end_cut_and_say_so(reader):
    start = _read(reader, "abcdef", limit=4, overflow="keep_start")
    assert start.text == ("<|bos|>", "a", "b", "c")
    assert start.dropped == 3
    assert start.notes == ("the text is 7 tokens, the limit is 4: the last 3 were cut",)
    end = _read(reader, "abcdef", limit=4, overflow="keep_end")
    assert end.text == ("<|bos|>", "d", "e", "f")
    assert end.offsets.tolist() == [[0, 0], [3, 4], [4, 5], [5, 6]]
    assert end.dropped == 3
    assert end.notes == ("the text is 7 tokens, the limit is 4: the first 3 after BOS were cut",)
    bare = _read(reader, "abcdef", limit=4, overflow="keep_end", add_bos=False)
    assert bare.text == ("c", "d", "e", "f")
    assert bare.notes == ("the text is 6 tokens, the limit is 4: the first 2 were cut",)


def test_tokenise_too_long_names_exceed_only_where_it_would_help(reader):
    reader.context = 6
    with pytest.raises(ValueError, match=r"or set overflow \(Text over the limit, .* to cut it$"):
        _read(reader, "abcdef", limit=6)
    reader.reads_past_context = True
    with pytest.raises(ValueError, match="overflow=exceed to read past the 6 tokens"):
        _read(reader, "abcdef", limit=6)
    for choices in ({}, {"overflow": "exceed"}):
        with pytest.raises(ValueError, match=r"the limit is 5: .* to cut it$"):
            _read(reader, "abcdef", limit=5, **choices)


def test_tokenise_exceed_reads_past_the_context_and_says_so(reader):
    reader.context, reader.reads_past_context = 6, True
    tokens = _read(reader, "abcdef", limit=7, overflow="exceed")
    assert (len(tokens.ids), tokens.dropped) == (7, 0)
    assert tokens.notes == ("tokens from 6 on are beyond the context this model was trained for",)
    assert _read(reader, "abcde", limit=7, overflow="exceed").notes == ()


def test_tokenise_exceed_is_refused_where_positions_were_learned(reader):
    reader.context = 6
    with pytest.raises(ValueError, match=r"has learned positions for 6 tokens.*is 7: shorten"):
        _read(reader, "abcdef", limit=7, overflow="exceed")
    assert len(_read(reader, "abcde", limit=7, overflow="exceed").ids) == 6


CHAT = (
    "{{ bos_token }}{% for m in messages %}<u>{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)


@pytest.fixture
def chatting(tokenizer):
    copy = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()),
        bos_token="<|bos|>",
        eos_token="<|eos|>",
    )
    copy.chat_template = CHAT
    return Reader(copy)


def test_tokenise_chat_template_offsets_point_into_the_text(chatting):
    text = "user e\u0301"
    tokens = _read(chatting, text, chat_template=True)
    assert "".join(tokens.text).startswith("<|bos|><u>user: user e")
    assert "".join(tokens.text).endswith("<|eos|>assistant:")
    assert tokens.ids.count(0) == 1
    inside = [
        (shown, tuple(span))
        for shown, span, special in zip(
            tokens.text, tokens.offsets.tolist(), tokens.special, strict=True
        )
        if not special
    ]
    assert inside[0][1] == (0, 1)
    assert "".join(text[slice(*span)] for _, span in inside[:5]) == "user "
    assert inside[-1] == ("<0x81>", (6, 7))
    _assert_covers(text, tokens)
    assert tokens.offsets[0].tolist() == [0, 0]
    assert tokens.offsets[-1].tolist() == [7, 7]


def test_tokenise_chat_template_returns_lost_marks_to_their_token():
    reader = Reader(_trimming())
    reader.tokenizer.chat_template = "[{{ messages[0]['content'] }}]"
    tokens = _read(reader, "e\u0301", chat_template=True)
    assert tokens.text == ("[", "<0xC3>", "<0xA9>", "]")
    assert tokens.offsets.tolist() == [[0, 0], [0, 1], [0, 2], [2, 2]]


def test_tokenise_chat_template_that_trims_is_followed_and_said(chatting):
    chatting.tokenizer.chat_template = CHAT.replace("m['content']", "m['content'] | trim")
    tokens = _read(chatting, "  hi \n", chat_template=True)
    shown = [text for text, special in zip(tokens.text, tokens.special, strict=True) if not special]
    assert shown == ["h", "i"]
    assert tokens.offsets[~tokens.special].tolist() == [[2, 3], [3, 4]]
    assert tokens.notes == ("the chat template removed 4 blank characters around the text",)


def test_tokenise_chat_template_obeys_add_bos(chatting):
    assert 0 not in _read(chatting, "hi", chat_template=True, add_bos=False).ids
    chatting.tokenizer.chat_template = CHAT.replace("{{ bos_token }}", "")
    assert 0 not in _read(chatting, "hi", chat_template=True).ids
    assert _read(chatting, "hi", chat_template=True, add_bos=True).ids[0] == 0


@pytest.mark.parametrize(
    ("template", "text", "words"),
    [
        (None, "hi", "the tokenizer of this model has none"),
        ("{{ messages[0]['content'] | upper }}", "hi", "rewrites the message"),
        ("{{ messages[0]['content'] | replace('h', 'j') }}", "hi", "rewrites the message"),
        ("nothing", "hi", "rewrites the message"),
        ("{{ raise_exception('system only') }}", "hi", "system only"),
        (CHAT, "a<|eos|>", r"spells <\|eos\|> at character 1"),
        (CHAT.replace("m['content']", "m['content'] | trim"), "  ", "rewrites the message"),
    ],
)
def test_tokenise_chat_template_that_cannot_be_used_is_refused(chatting, template, text, words):
    chatting.tokenizer.chat_template = template
    with pytest.raises(ValueError, match=words):
        _read(chatting, text, chat_template=True)


def test_decode_each_spells_every_id(reader):
    assert decode_each(reader, [0, 1, 0]) == ("<|bos|>", "<|eos|>", "<|bos|>")
    assert decode_each(reader, [10_000]) == ("<id 10000>",)
    bytes_shown = {decode_each(reader, [key])[0] for key in range(2, 258)}
    assert bytes_shown == {chr(byte) for byte in range(128)} | {
        f"<0x{byte:02X}>" for byte in range(128, 256)
    }
    assert decode_each(Reader(_trimming()), [257]) == ("\u65e5",)
    assert decode_each(Reader(_words()), [1, 2]) == ("hello", "world")
    assert decode_each(reader, []) == ()


@pytest.mark.parametrize("unit", ["hello w\u00e9rld ", "a", " ", "\u65e5"])
def test_tokenise_100k_characters_take_less_than_a_second(reader, unit):
    text = (unit * 100_000)[:100_000]
    _read(reader, "warm up")
    started = time.thread_time()  # not slowed by what else the machine does
    tokens = _read(reader, text)
    assert time.thread_time() - started < 1.0 * (3 if unit == "\u65e5" else 1)
    assert tokens.offsets[-1].tolist()[1] == 100_000
