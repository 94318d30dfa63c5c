"""Real tokenizers and a real model, where they are at hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.text import tokenise
from tokenarium.backend.settings import PROJECT
from tokenarium.backend.trace.request import TraceRequest

DATA = PROJECT.parent / "shared" / "data"
TEXTS = (
    "It was the best of times,\r\n  it was the worst of times.",
    "caf\u00e9 cafe\u0301 \U0001f469\u200d\U0001f680 \u65e5\u672c\u8a9e",
    "    if x:\n\t\treturn  1    ",
    " leading, and <s> [INST] <|endoftext|> spelled",
)

pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif(not DATA.is_dir(), reason="the data folder beside the project is absent"),
]


class Reader:
    name, notes = "external", ()

    def __init__(self, file: Path) -> None:
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ["gpt-2", "gpt-neox", "mistral"])
def test_tokenise_real_tokenizer_offsets_slice_to_the_tokens(name, text):
    reader = Reader(DATA / "tokenizers" / f"{name}_tokenizer.json")
    tokens = tokenise(reader, TraceRequest(model="m", text=text), 1000)
    covered = np.zeros(len(text), bool)
    for shown, (start, stop), special in zip(
        tokens.text, tokens.offsets.tolist(), tokens.special, strict=True
    ):
        covered[start:stop] = True
        assert special == (start == stop)
        part = (
            text[start:stop].replace("e\u0301", "\u00e9")
            if name == "gpt-neox"
            else text[start:stop]
        )
        if not special and "<0x" not in shown:
            assert shown == part or (start == 0 and shown == f" {part}")
    assert covered.all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_load_real_model_is_supported(dtype):
    source = ModelSource("stories3m", DATA / "models" / "stories3m", None, "stories3m")
    loaded = load(source, dtype, torch.device("cpu"), 512)
    assert (len(loaded.layers), loaded.context) == (6, 512)
    assert loaded.verdict.supported
    request = TraceRequest(model="m", text="Once upon a time, there was a little girl")
    tokens = tokenise(loaded, request, 512)
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([tokens.ids])).logits[0].float()
    loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(tokens.ids[1:]))
    assert loss < 2.5
