"""Of a model that reads images too the text part is run, equal to transformers' own, and said."""

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText

from tests.models.conftest import byte_tokenizer
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace

TEXT = {
    "vocab_size": 272,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
SEES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
}
IN_PATCHES = {"depth": 2, "num_heads": 4, "hidden_size": 32, "embed_dim": 32, "patch_size": 14}
TURNS = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
MODELS = {
    "gemma3": {"text_config": {**TEXT, "sliding_window": 16}, "vision_config": SEES},
    "llava": {
        "text_config": {"model_type": "llama", **TEXT},
        "vision_config": {"model_type": "clip_vision_model", **SEES},
    },
    "mistral3": {
        "text_config": {"model_type": "mistral", **TEXT, "sliding_window": 16},
        "vision_config": {"model_type": "pixtral", **SEES, "head_dim": 8},
    },
    "qwen2_vl": {
        "text_config": {**TEXT, "rope_parameters": TURNS},
        "vision_config": {**IN_PATCHES, "hidden_size": 32},
    },
    "qwen3_vl": {
        "text_config": {**TEXT, "rope_parameters": TURNS},
        "vision_config": {
            **IN_PATCHES,
            "intermediate_size": 48,
            "out_hidden_size": 32,
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 16,
        },
    },
}


def _save(folder, family):
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(CONFIG_MAPPING[family](**MODELS[family]))
    for weights in model.parameters():
        if weights.dim() > 1:
            weights.data = torch.randn_like(weights) * (1.3 / weights.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return ModelSource(f"local/{family}", folder, None, family)


@pytest.mark.parametrize("family", MODELS)
def test_the_text_part_equals_transformers_and_images_are_said_not_to_be_seen(tmp_path, family):
    loaded = load(_save(tmp_path, family), torch.float32, "cpu", 512)
    text = "hello world, hello again and again"
    request = TraceRequest(text=text, model=loaded.name)
    result = trace(request, loaded, 128, lambda _: None, CancelToken())
    assert any("images are not seen" in note for note in result.notes)
    oracle = AutoModelForImageTextToText.from_pretrained(
        tmp_path, attn_implementation="eager"
    ).eval()
    ids = torch.tensor(result.token_ids[None].astype(np.int64))
    with torch.inference_mode():
        logits = oracle(input_ids=ids).logits[0].double()
        sequence, prompt = CachedSequence(loaded, Full(), 1), ids[0].tolist()
        steps = [sequence.read(prompt[:20]), *(sequence.read([key]) for key in prompt[20:])]
    expected = -logits.log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
    np.testing.assert_allclose(result.surprisal_nats[1:], expected, atol=2e-5)
    np.testing.assert_allclose(torch.stack(steps).double(), logits[19:], atol=1e-4)


def test_a_model_that_reads_images_with_an_encoder_decoder_is_refused(tmp_path):
    CONFIG_MAPPING["udop"]().save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(ModelRefused, match="'udop', which is no causal language model"):
        load(ModelSource("local/udop", tmp_path, None, "udop"), torch.float32, "cpu", 512)
