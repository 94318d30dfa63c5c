"""How keys turn with position, against the same text read at other positions."""

import numpy as np
import pytest
import torch

from tokenarium.backend.models.probes.positions import rotary_layers
from tokenarium.backend.observe import AttentionCall, Recorder, recording

BY = 7
ROTARY = ("llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2", "gemma3_text", "gpt_neox",
          "gpt_oss", "cohere", "granite")  # fmt: skip


class _Vectors(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[AttentionCall] = []

    def attend(self, call: AttentionCall) -> torch.Tensor:
        self.calls.append(call)
        return super().attend(call)


def vectors(loaded, start: int) -> list[AttentionCall]:
    watch = _Vectors()
    ids = torch.arange(40)[None] * 31 % 200 + 10
    positions = torch.arange(start, start + 40)[None]
    with torch.inference_mode(), recording(watch):
        loaded.model.base_model(input_ids=ids, position_ids=positions, use_cache=False)
    return watch.calls


@pytest.mark.parametrize("family", ROTARY)
def test_turned_vectors_are_those_of_the_model_further_on(twins, family):
    """Attention sees relative positions only, so moving the whole text just turns q and k."""
    loaded, _ = twins(family)
    found = rotary_layers(loaded)
    by = torch.full((40,), BY)
    for rotary, here, there in zip(found, vectors(loaded, 0), vectors(loaded, BY), strict=True):
        assert rotary is not None
        for name in ("q", "k"):
            turned = rotary.turned(getattr(here, name)[0], by)
            np.testing.assert_allclose(turned, getattr(there, name)[0], rtol=1e-3, atol=1e-4)
        assert not torch.allclose(here.k, there.k, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("family", "interleaved"), [("llama", False), ("cohere", True)])
def test_layout_of_pairs_is_found(twins, family, interleaved):
    loaded, _ = twins(family)
    assert {rotary.interleaved for rotary in rotary_layers(loaded)} == {interleaved}


def test_layers_without_positions_are_told_from_rotary_ones(twins):
    loaded, _ = twins("llama")
    frequencies = loaded.model.model.rotary_emb.inv_freq
    kept = frequencies.clone()
    try:
        frequencies.zero_()
        assert rotary_layers(loaded) == (None, None, None)
    finally:
        frequencies.copy_(kept)


@pytest.mark.parametrize("family", ["gpt2", "opt"])
def test_learned_positions_are_refused_in_words(twins, family):
    loaded, _ = twins(family)
    with pytest.raises(ValueError, match=r"local/.* does not place its tokens by rotation"):
        rotary_layers(loaded)
