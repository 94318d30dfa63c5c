"""A configuration and weights that do not belong together are refused by what does not fit."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.refusal import ModelRefused


def _load(folder):
    return load(ModelSource("local/m", folder, None, "m"), torch.float32, "cpu", 512)


def _with_tensors(folder, **more):
    file = folder / "model.safetensors"
    save_file(load_file(file) | more, file, metadata={"format": "pt"})


def _change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "opt"])
def test_weights_of_more_layers_than_the_configuration_says_are_refused(tmp_path, save, family):
    save(tmp_path, family)
    _change_config(tmp_path, **{"n_layer" if family == "gpt2" else "num_hidden_layers": 2})
    with pytest.raises(ModelRefused, match=r"weights of 3 layers, .* num_hidden_layers=2"):
        _load(tmp_path)


def test_a_tensor_of_a_layer_that_would_be_dropped_is_refused(tmp_path, save):
    save(tmp_path, "llama", attention_bias=True)
    _change_config(tmp_path, attention_bias=False)
    with pytest.raises(ModelRefused, match=r"12 tensors .*layers\.0\.self_attn\.k_proj\.bias"):
        _load(tmp_path)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        ("v_head.summary.weight", "no part of the language model and are not used, such as v_head"),
        ("mtp.layers.0.mlp.up_proj.weight", "multi-token prediction"),
        ("vision_model.transformer.layers.7.mlp.fc1.weight", "no part of the language model"),
    ],
)
def test_a_tensor_beside_the_language_model_is_left_out_and_said(tmp_path, save, tensor, words):
    _with_tensors(save(tmp_path, "llama"), **{tensor: torch.zeros(4)})
    (note,) = _load(tmp_path).notes
    assert words in note


def test_what_old_files_store_although_it_is_computed_is_not_mentioned(tmp_path, save):
    computed = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)}
    _with_tensors(save(tmp_path, "llama"), **computed)
    assert _load(tmp_path).notes == ()


@pytest.mark.parametrize("tied", [False, True])
def test_a_classification_model_is_refused_by_its_name(tmp_path, save, tied):
    config = AutoConfig.from_pretrained(save(tmp_path, "llama", tie_word_embeddings=tied))
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(ModelRefused, match=r"classification .* \(LlamaForSequenceClassification\)"):
        _load(tmp_path)


def test_a_base_model_is_refused_as_one_without_a_head(tmp_path, save):
    AutoModel.from_pretrained(save(tmp_path, "llama")).save_pretrained(tmp_path)
    with pytest.raises(ModelRefused, match=r"base model without a head .*lm_head\.weight"):
        _load(tmp_path)


@pytest.mark.parametrize("architectures", [3, "LlamaForCausalLM", {}, [7], None])
def test_odd_architectures_are_passed_over(tmp_path, save, architectures):
    _change_config(save(tmp_path, "llama"), architectures=architectures)
    assert _load(tmp_path).notes == ()


def test_an_encoder_is_called_one(tmp_path, save):
    with pytest.raises(ModelRefused, match="which is an encoder"):
        _load(save(tmp_path, "bert"))
