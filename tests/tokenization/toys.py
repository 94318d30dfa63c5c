"""Small tokenizers that tests train and write themselves."""

import json
from types import SimpleNamespace

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tokenarium.backend.settings import Settings
from tokenarium.backend.tokenization.engine import InProcess
from tokenarium.backend.tokenization.facade import Tokenizers
from tokenarium.backend.tokenization.shelf import VocabularyShelf
from tokenarium.backend.tokenization.vocabulary import Vocabulary, vocabulary_of

SETTINGS = Settings(database="duckdb:///:memory:", device="cpu", hosted=False)
BUNDLED = "bundled/target"
TEXTS = (
    "The old king saw it, and 1234567 birds!",
    "  two  spaces\n\tand naïve café, 漢字かな, привет, 🙂 ",
    "a",
    "def f(x):\n    return x ** 2",
)


def bundled() -> Vocabulary:
    return VocabularyShelf(SETTINGS).get(BUNDLED)


def tokenizers() -> Tokenizers:
    """Return what ``lab.tokenizers`` is, without a lab."""
    return Tokenizers(SETTINGS, SimpleNamespace(vocabularies=VocabularyShelf(SETTINGS)))


def vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    state = tokenizer.to_str()
    return vocabulary_of(state, "toy", "toy", InProcess(Tokenizer.from_str(state)))


def bpe(merges: list[tuple[str, str]], alphabet: str = "ab") -> Vocabulary:
    """Return byte-level BPE without pre-tokens."""
    return vocabulary(Tokenizer.from_str(state_of_bpe(merges, alphabet)))


def state_of_bpe(merges: list[tuple[str, str]], alphabet: str = "ab") -> str:
    """Return the tokenizer.json of byte-level BPE without pre-tokens."""
    entries = dict.fromkeys([*alphabet, *(left + right for left, right in merges)])
    core = Tokenizer(models.BPE({entry: key for key, entry in enumerate(entries)}, merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    return core.to_str()


def sentencepiece() -> Vocabulary:
    """Return BPE as SentencePiece has it: a space is put first, unknown characters are bytes."""
    core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    core.train_from_iterator(["the old king and the old queen saw it"] * 4, trainer)
    state = json.loads(core.to_str())
    # The bytes are entries of the model, not added tokens: SentencePiece's converters do so too.
    # Nor do they keep pre-tokens, which no merge goes beyond any more.
    prefix = {"type": "Prepend", "prepend": "▁"}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    state["normalizer"] = {"type": "Sequence", "normalizers": [prefix, replace]}
    state["pre_tokenizer"] = None
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] == "<unk>"]
    return vocabulary(Tokenizer.from_str(json.dumps(state)))
