"""Loading a model: safetensors only, no code from the model, nothing that would not fit."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tokenarium.backend.cost.fits import need, refuse_model_unless_fits
from tokenarium.backend.cost.free_memory import count_parameters, free_bytes
from tokenarium.backend.models import capabilities, vocabulary_file
from tokenarium.backend.models.adapter import merge
from tokenarium.backend.models.belonging import left_out, refuse_missing, refuse_other_head
from tokenarium.backend.models.context import context_of
from tokenarium.backend.models.default import HUB_COPY
from tokenarium.backend.models.dequantising import count_plain, how_to_read, make_plain
from tokenarium.backend.models.download import fetch
from tokenarium.backend.models.files import read_object, refuse_odd_files, regular_size
from tokenarium.backend.models.handed_on import several_streams_note
from tokenarium.backend.models.identity import DigestMemo, fingerprint
from tokenarium.backend.models.image_text import (
    TEXT_KEYS,
    auto_class,
    image_text_class,
    image_text_note,
    of_text,
    text_alone,
)
from tokenarium.backend.models.interface import implementation_of, refusing_own_table, watch
from tokenarium.backend.models.isolation.backend import isolate, try_file
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.names import OFFERED, ModelSource
from tokenarium.backend.models.names import folder as folder_of
from tokenarium.backend.models.other_kinds import refuse_other_kinds
from tokenarium.backend.models.probes.weights import padded_rows
from tokenarium.backend.models.quantised import quantisation, refuse_unless_readable
from tokenarium.backend.models.refusal import ModelRefused, refusing
from tokenarium.backend.models.structure import (
    embedding_entries,
    find_structure,
    has_computed_positions,
)
from tokenarium.backend.observe import install
from tokenarium.backend.observe.finite_logits import keep_finite
from tokenarium.backend.observe.fresh_rotary import keep_fresh

_tried: set[tuple[str, int, int]] = set()
"""Path, size and time of each tokenizer.json that can be read."""
SHORT_TEXT = 512
"""Tokens that a model must be able to read for it to be loaded."""


def load(
    source: ModelSource,
    dtype: torch.dtype | str,
    device: torch.device | str,
    token_limit: int,
    digest_memo: DigestMemo | None = None,
) -> LoadedModel:
    """Load a model, and check that observing it changes nothing.

    Whatever its files make a library raise is a refusal.

    Args:
        source: where it is; one on Hugging Face is downloaded unless it was before, a GGUF file
            was converted before.
        dtype: format to hold the weights in, such as ``torch.bfloat16`` or ``"bfloat16"``.
        device: where it runs.
        token_limit: longest text it will be asked to read, in tokens.
        digest_memo: spares hashing files that have not changed.
    Raises: ModelRefused where it is not there, would not fit, needs code or pickled weights, or
        cannot be observed; the message says which, and what to do.
    """
    kind: torch.dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    with refusing(
        f"{source.name} could not be loaded",
        "check that its files are whole and belong together, or choose another model",
    ):
        try:
            return _load(source, kind, torch.device(device), token_limit, digest_memo)
        except ModelRefused as refusal:
            if any(name in str(refusal) for name in (source.name, source.name.split("/")[-1])):
                raise
            raise type(refusal)(f"{source.name}: {refusal}") from refusal


def _load(
    source: ModelSource,
    kind: torch.dtype,
    place: torch.device,
    token_limit: int,
    digest_memo: DigestMemo | None,
) -> LoadedModel:
    def accept(folder: Path, parameters: int) -> None:
        config = read_config(folder, source.name)
        if _method(folder, source.name):
            parameters = count_plain(config)
        # A longer text is refused when it is asked for, with the length that would fit.
        longest = min(token_limit, context_of(config), SHORT_TEXT)
        wanted = need(parameters, config, kind, place)
        refuse_model_unless_fits(source.name, wanted, free_bytes(place), longest, kind)

    folder = folder_of(source)
    if folder is None:
        if source.gguf:
            raise ModelRefused(f"{source.name} has not been converted yet: run tokenarium fetch")
        folder = fetch(source.hub_id or source.name, accept)
    refuse_odd_files(folder)
    accept(folder, count_parameters(folder))
    config = read_config(folder, source.name)
    tokenizer = read_tokenizer(folder, source.name)
    model, notes = _read_model(folder, source.name, config, kind, place)
    if source.adapter:
        notes = (*notes, merge(model, source.adapter, source.name))
    _refuse_foreign_tokenizer(model, tokenizer, source.name)
    structure = find_structure(model)
    watch(model, structure.layers)
    notes = (*notes, *several_streams_note(structure.layers))
    loaded = LoadedModel(
        name=source.name,
        model=model,
        tokenizer=tokenizer,
        device=place,
        dtype=kind,
        context=context_of(config),
        layers=structure.layers,
        final_norm=structure.final_norm,
        unembed=structure.unembed,
        fingerprint=fingerprint(dataclasses.replace(source, folder=folder), digest_memo) or "",
        weights=source.weights,
        notes=notes,
        reads_past_context=has_computed_positions(model),
    )
    verdict = capabilities.verdict(loaded)
    if not verdict.supported:
        raise ModelRefused(f"{source.name} cannot be observed: {verdict.reason}")
    return dataclasses.replace(loaded, verdict=verdict)


def read_config(folder: Path, name: str) -> PretrainedConfig:
    """Return the configuration in ``folder``.

    Raises: ModelRefused where the model needs code of its own, is quantised in a way that cannot be
        read, is no causal language model, or has attention that cannot be observed.
    """
    raw = read_object(folder / "config.json")
    if (folder / "adapter_config.json").is_file():
        raise ModelRefused(
            f"{name} has an adapter (adapter_config.json) beside its weights, which would be left "
            "out: merge it with merge_and_unload and save the result, or move it elsewhere"
        )
    refuse_other_head(raw.get("architectures"), name)
    kind = raw.get("model_type", "")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        own_code = " and brings its own code, which is not run" if "auto_map" in raw else ""
        raise ModelRefused(
            f"{name} is of type {kind!r}, which transformers does not know{own_code}: choose a "
            "model of a built-in architecture, such as llama or qwen3"
        )
    if method := quantisation(raw, name):
        refuse_unless_readable(method, name)
    config = _parse_config(folder, name)
    if _model_class(config) is None:
        raise ModelRefused(f"{name} is of type {kind!r}, {_why_no_class(raw)}")
    refuse_other_kinds(config, name)
    return config


def _why_no_class(raw: dict[str, Any]) -> str:
    """Return why transformers loads no model of a type that predicts the next token."""
    made = raw.get("architectures")
    if isinstance(made, list) and any(str(each).endswith("ForCausalLM") for each in made):
        return (
            "a part of a larger model saved by itself, which AutoModelForCausalLM of transformers "
            "does not take: choose the whole model"
        )
    return "which is no causal language model: choose one that predicts the next token"


def _method(folder: Path, name: str) -> str | None:
    return quantisation(read_object(folder / "config.json"), name)


def _model_class(config: PretrainedConfig) -> Any:
    """Return the class that predicts the next token; None where there is none."""
    found: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None) or image_text_class(config)
    return found[0] if isinstance(found, tuple) else found


def _parse_config(folder: Path, name: str) -> PretrainedConfig:
    with refusing(
        f"{name} has a config.json that transformers does not accept",
        "correct the field, or download the model again",
    ):
        config: PretrainedConfig = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    return config


def try_tokenizer(folder: Path, name: str) -> bool:
    """Return whether a tokenizer is foreign; see that one can be read, where that may be ended.

    What was read once is not tried again until its file changes.

    Raises:
        ValueError: if it cannot be read within its limits.
    """
    file = folder / "tokenizer.json"
    foreign = name not in (*OFFERED, HUB_COPY)
    if foreign and file.exists():
        state = (str(file), regular_size(file), file.stat().st_mtime_ns)
        if state not in _tried:
            try_file(file, name)
            _tried.add(state)
    return foreign


def read_tokenizer(folder: Path, name: str) -> PreTrainedTokenizerFast:
    """Read the tokenizer of a model from its folder.

    That of a model which this project neither ships nor names works in a process of its own.

    Raises: ModelRefused where there is none that says where tokens stand in the text.
    """
    with refusing(
        f"{name} has no tokenizer that can be read",
        "put its tokenizer.json beside config.json",
    ):
        foreign = try_tokenizer(folder, name)
        alone = vocabulary_file.is_alone(folder)
        if alone:
            vocabulary_file.refuse_unless_readable(folder, name)
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelRefused(
            f"{name} has a slow tokenizer, which cannot say where tokens stand in the text: "
            "convert it to a tokenizer.json"
        )
    if alone:
        vocabulary_file.refuse_unless_same(tokenizer, folder, name)
    if foreign:
        with refusing(f"{name} has a tokenizer of its own code", "convert it to a tokenizer.json"):
            isolate(tokenizer, name)
    return tokenizer


def _read_model(
    folder: Path, name: str, config: PretrainedConfig, dtype: torch.dtype, device: torch.device
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """Return the model, and what must be known of what was read."""
    install()
    whole, method = config, _method(folder, name)
    packed = how_to_read(method, device) if method else {}
    if (text := text_alone(config)) is not None:
        config, packed = text, packed | {"key_mapping": TEXT_KEYS}
    with (
        refusing(
            f"{name} could not be read", "check that config.json and the weights belong together"
        ),
        refusing_own_table(name),
    ):
        loaded: Any = auto_class(config).from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=implementation_of(_model_class(config)),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **packed,
        )
        model, report = loaded
        if method:
            make_plain(model, method, dtype, device)
        else:
            model.to(device)
    refuse_missing(report["missing_keys"], model, name)
    unexpected = report["unexpected_keys"]
    if text is not None:
        unexpected = of_text(unexpected, folder)
    others = left_out(unexpected, model, name)
    notes = image_text_note(whole) or others
    observed: PreTrainedModel = model.eval().requires_grad_(False)
    keep_fresh(observed)
    if rows := padded_rows(observed):
        keep_finite(observed.get_output_embeddings())
        notes += (f"{rows} rows pad the vocabulary (bias minus infinity): probability 0",)
    return observed, notes


def _refuse_foreign_tokenizer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, name: str
) -> None:
    entries = embedding_entries(model)
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= entries:
        raise ModelRefused(
            f"{name} has a tokenizer with ids up to {largest}, but embeddings for {entries} "
            "tokens: use the tokenizer the model was trained with"
        )
