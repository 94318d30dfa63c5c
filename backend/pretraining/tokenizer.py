"""Train the byte-level BPE tokenizer that the bundled models share."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

BOS, EOS = "<|bos|>", "<|eos|>"


def train_tokenizer(documents: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train byte-level BPE (Sennrich et al., 2016, arXiv:1508.07909) with single-digit tokens.

    Args:
        documents: texts; consumed once.
        vocab_size: entries in all, the 256 bytes and two special tokens included.
    Returns: a tokenizer that begins every text with ``<|bos|>``.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True, trim_offsets=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(documents, trainer)
    core.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{BOS} $A", special_tokens=[(BOS, core.token_to_id(BOS))]
            ),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=BOS, eos_token=EOS)


def sample(documents: Iterable[str], characters: int, every: int = 20_000) -> Iterator[str]:
    """Yield evenly spread slices of the documents, ``characters`` of text in all at most."""
    texts = list(documents)
    share = min(1.0, characters / max(1, sum(map(len, texts))))
    for text in texts:
        for start in range(0, len(text), every):
            yield text[start : start + max(1, int(every * share))]


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder)
    return tokenizer
