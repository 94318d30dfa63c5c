"""Conversion of a GGUF file into a folder that transformers loads: configuration, weights, tokens.

transformers reads the file (its mapping of names, its undoing of llama.cpp's layouts); what it
would leave out in silence is refused here. No code of the file is run.
"""

import json
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_gguf_pytorch_utils import (
    GGUF_SUPPORTED_ARCHITECTURES,
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
    load_gguf_checkpoint,
)

from tokenarium.backend.models.gguf.converted import (
    GgufSource,
    digest_of,
    folder_of,
    refuse_unless_room,
    written_whole,
)
from tokenarium.backend.models.gguf.header import PLAIN, Header, is_part, read_header
from tokenarium.backend.models.refusal import ModelRefused

_DTYPES = {"F32": torch.float32, "F16": torch.float16}
"""Of the converted weights; those of any other type are bfloat16."""
_SPELLED = {"gpt-oss": "gpt_oss", "qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe"}
_UNREAD = ("rope_freqs.", "rope_factors_")
_ELSEWHERE = ("output.weight",)
"""Read by transformers without its table of names."""


def convert(source: GgufSource, name: str) -> Path:
    """Convert a file unless that was done before, and return the folder; one process at a time.

    Args:
        source: the file.
        name: of the model, for messages.

    Raises:
        ModelRefused: naming the architecture, the damage, or what of the file would not be read.
    """
    assert source.file is not None
    header = read_header(source.file)
    _refuse(source.file, header)
    digest = digest_of(source)
    if known := source.folder():
        return known
    dtype = _DTYPES.get(header.quantisation, torch.bfloat16)
    refuse_unless_room(source.cache, header.parameters * dtype.itemsize * 11 // 10, name)
    with written_whole(source.cache, digest, weights=words(header, dtype), file=name) as folder:
        try:
            _write(source.file, header, dtype, folder)
        except ModelRefused:
            raise
        except Exception as error:  # whatever a foreign file does to its readers
            raise ModelRefused(
                f"{name} is damaged, or of a kind of {header.architecture} that transformers does "
                f"not read ({type(error).__name__}: {error}): download it again, or give the "
                "model as safetensors"
            ) from error
    return folder_of(source.cache, digest)


def words(header: Header, dtype: torch.dtype) -> str:
    """Return what the converted weights are."""
    format_ = str(dtype).removeprefix("torch.")
    kind = header.quantisation
    if kind in PLAIN:
        return f"GGUF, {kind}"
    bits = next((digit for digit in kind if digit.isdigit()), "")
    return f"dequantised {bits}-bit copy: GGUF, {kind}, as {format_}"


def _refuse(file: Path, header: Header) -> None:
    """Refuse a file whose numbers would not be those of its model."""
    architecture = header.architecture
    if _SPELLED.get(architecture, architecture) not in GGUF_SUPPORTED_ARCHITECTURES:
        known = ", ".join(sorted(set(GGUF_SUPPORTED_ARCHITECTURES) & set(CONFIG_MAPPING)))
        raise ModelRefused(
            f"{file.name} is of the architecture {architecture!r}, which transformers does not "
            f"read from GGUF: choose one of {known}, or give the model as safetensors"
        )
    if is_part(file) or header.values.get("split.count", 1) not in (0, 1):
        raise ModelRefused(
            f"{file.name} is one part of several: join them with llama-gguf-split --merge"
        )
    scaling = header.values.get(f"{architecture}.rope.scaling.type", "none")
    unread = [name for name in header.shapes if name.startswith(_UNREAD)]
    if scaling != "none" or unread:
        raise ModelRefused(
            f"{file.name} scales its rotary positions (RoPE), which transformers does not read "
            "from GGUF, so that its numbers would be wrong: give the model as safetensors"
        )


def _write(file: Path, header: Header, dtype: torch.dtype, folder: Path) -> None:
    with redirect_stderr(StringIO()):  # a progress bar of its own
        told: dict[str, Any] = load_gguf_checkpoint(str(file))["config"]
        config = AutoConfig.for_model(**told)
        _refuse_shapes(file, header, config)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        _refuse_unread(file, header, model, config)
        read = load_gguf_checkpoint(
            str(file), return_tensors=True, model_to_load=model, torch_dtype=dtype
        )
    save_file(
        _complete(file, read["tensors"], model), folder / "model.safetensors", {"format": "pt"}
    )
    config.architectures = [type(model).__name__]
    config.dtype = dtype
    config.save_pretrained(folder)
    GenerationConfig.from_model_config(config).save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(file.parent), gguf_file=file.name)
    tokenizer.save_pretrained(folder)
    _drop_added(folder / "tokenizer.json", header.values.get("tokenizer.ggml.tokens", 0))


def _drop_added(file: Path, entries: int) -> None:
    """Take away tokens that transformers adds by itself, which the model has no embedding for."""
    told = json.loads(file.read_text(encoding="utf-8"))
    kept = [token for token in told["added_tokens"] if token["id"] < entries]
    if len(kept) < len(told["added_tokens"]):
        told["added_tokens"] = kept
        file.write_text(json.dumps(told, ensure_ascii=False, indent=2), encoding="utf-8")


def _refuse_shapes(file: Path, header: Header, config: PretrainedConfig) -> None:
    """Refuse counts that the weights do not bear out, before a model of that size is made."""
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelRefused(
            f"{file.name} is of the architecture {header.architecture!r}, which is no causal "
            "language model: choose one that predicts the next token"
        )
    layers = header.shape.get("layers", 0)
    if not 0 < layers <= len(header.shapes):
        raise ModelRefused(
            f"{file.name} is damaged, it announces {layers} layers and has {len(header.shapes)} "
            "tensors: download it again"
        )


def _refuse_unread(
    file: Path, header: Header, model: PreTrainedModel, config: PretrainedConfig
) -> None:
    """Refuse a file of which transformers would leave tensors out."""
    kind: Any = TENSOR_PROCESSORS.get(header.architecture, TensorProcessor)
    processor = kind(config=config.to_dict())
    known = get_gguf_hf_weights_map(model, processor)
    left = [name for name in header.shapes if name not in known and name not in _ELSEWHERE]
    if left:
        raise ModelRefused(
            f"{file.name} has {len(left)} tensors that transformers does not read, such as "
            f"{left[0]}, so that its numbers would be wrong: give the model as safetensors"
        )


def _complete(file: Path, tensors: dict[str, Tensor], model: PreTrainedModel) -> dict[str, Tensor]:
    """Return the weights, each once, refusing those that do not fit the configuration."""
    wanted = model.state_dict()
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    for name, expected in wanted.items():
        found = tensors.get(name)
        if found is None and name in tied and model.config.tie_word_embeddings:
            continue
        if found is None or found.shape != expected.shape:
            shape = "absent" if found is None else f"of the shape {tuple(found.shape)}"
            raise ModelRefused(
                f"{file.name} is damaged, the weights {name} are {shape} instead of "
                f"{tuple(expected.shape)}: download it again"
            )
    return {name: tensors[name].contiguous() for name in wanted if name in tensors}
