"""A layer's window is known from its mask, whether or not its attention is handed one."""

import pytest
import torch

from tests.families.building import build
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.windows import windows_of
from tokenarium.backend.observe import Recorder, recording
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.runner import speculate

SMALL = {"num_key_value_heads": 2, "num_local_experts": 2, "num_experts_per_tok": 2}


class _Windows(Recorder):
    def __init__(self):
        super().__init__()
        self.found = []

    def attend(self, call):
        self.found.append((call.declared_window, call.window))
        return super().attend(call)


def _read(loaded, tokens):
    watch = _Windows()
    with torch.inference_mode(), recording(watch):
        loaded.body(input_ids=torch.arange(tokens)[None], use_cache=False)
    return watch.found


@pytest.mark.parametrize(
    ("family", "changes", "windows"),
    [
        ("mistral", {}, (16, 16, 16)),
        ("phimoe", {"sliding_window": 16, **SMALL}, (16, 16, 16)),
        ("gemma3_text", {}, (16, None, 16)),
        ("llama", {}, (None, None, None)),
        ("llama4_text", {"attention_chunk_size": 16, "head_dim": 8, **SMALL}, (None, None, None)),
    ],
)
def test_windows_are_those_that_the_masks_show(tmp_path, save, family, changes, windows):
    folder = save(tmp_path, family, **changes)
    loaded = load(ModelSource("m", folder, None, "m"), torch.float32, "cpu", 512)
    assert capabilities.layers(loaded).windows == windows
    assert windows_of(loaded.model.config) == windows
    assert _read(loaded, 5) == [(window, None) for window in windows]
    if family != "llama4_text":
        assert _read(loaded, 60) == [(window, window) for window in windows]


def test_a_window_that_attention_is_not_handed_frees_what_leaves_it(tmp_path, save):
    folder = save(tmp_path, "phimoe", sliding_window=16, **SMALL)
    loaded = load(ModelSource("m", folder, None, "m"), torch.float32, "cpu", 512)
    ids = torch.arange(40)
    sequence = CachedSequence(loaded, Full(), 1)
    with torch.inference_mode():
        read = [sequence.read(ids[:30].tolist()), *(sequence.read([int(key)]) for key in ids[30:])]
        expected = loaded.model(input_ids=ids[None], use_cache=False).logits[0, 29:]
    torch.testing.assert_close(torch.stack(read), expected, rtol=1e-4, atol=1e-4)
    held = [layer.entries.head("positions", 0).tolist() for layer in sequence.layers]
    assert held == [list(range(25, 40))] * 3


def test_a_mask_that_is_no_window_is_refused_by_a_cache_as_what_it_is(tmp_path, save):
    folder = save(tmp_path, "llama4_text", attention_chunk_size=16, head_dim=8, **SMALL)
    loaded = load(ModelSource("m", folder, None, "m"), torch.float32, "cpu", 512)
    with torch.inference_mode(), pytest.raises(ValueError, match="layer 0 sees is no window"):
        CachedSequence(loaded, Full(), 1).read(list(range(30)))


def test_a_mask_that_is_no_window_is_refused_by_speculation_as_what_it_is(tmp_path):
    source = ModelSource("local/doge", build("doge", tmp_path), None, "doge")
    loaded = load(source, torch.float32, "cpu", 512)
    request = SpeculateRequest(model="local/doge", text="hello", drafter="prompt_lookup")
    with pytest.raises(ValueError, match=r"layer 0 sees is no window .* does not reach back"):
        speculate(request, loaded, 512, lambda _: None, CancelToken())
