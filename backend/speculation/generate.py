"""Speculative decoding as the decoding method of transformers' ``generate``."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    MinPLogitsWarper,
    PreTrainedModel,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.configuration_utils import GenerationMode
from transformers.generation.streamers import BaseStreamer
from transformers.generation.utils import GenerateDecoderOnlyOutput

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.engine import Speculator
from tokenarium.backend.speculation.matrix import default_rule, refuse_unless_exact
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.vocabulary import SharedVocabulary

_SETTINGS = {
    RepetitionPenaltyLogitsProcessor: ("repetition_penalty", "penalty"),
    TemperatureLogitsWarper: ("temperature", "temperature"),
    TopKLogitsWarper: ("top_k", "top_k"),
    TopPLogitsWarper: ("top_p", "top_p"),
    MinPLogitsWarper: ("min_p", "min_p"),
}
"""What each processor of ``generate`` is called here, and its attribute; applied in this order."""
_UNAVAILABLE = ("output_scores", "output_logits", "output_attentions", "output_hidden_states")
_IGNORED = {"position_ids", "past_key_values", "use_cache", "logits_to_keep", "cache_position"}
"""Arguments that ``generate`` prepares for a forward pass; empty caches and ordinary positions."""


@dataclass
class SpeculativeGeneration:
    """What the last ``generate`` inside ``apply_drafter`` did."""

    drafted: list[int] = field(default_factory=list)
    """[R] drafted tokens that each pass of the target verified."""
    accepted: list[int] = field(default_factory=list)
    """[R] how many of them were accepted, the token that follows them not counted."""
    new_tokens: int = 0

    @property
    def tokens_per_target_call(self) -> float:
        """New tokens per pass of the target, the prompt's not counted."""
        return self.new_tokens / len(self.accepted) if self.accepted else float("nan")


@dataclass
class SpeculativeDecoding:
    """Drafts and verifies for one target; ``generate`` is what ``custom_generate`` takes."""

    target: LoadedModel
    draft: LoadedModel | None
    shared: SharedVocabulary | None
    drafter: Drafter
    rule: Rule | None
    draft_len: int
    tree_budget: int
    seed: int | None
    last: SpeculativeGeneration = field(default_factory=SpeculativeGeneration)

    def generate(
        self,
        streamer: BaseStreamer | None,
        _: PreTrainedModel,
        input_ids: Tensor,
        *,
        logits_processor: LogitsProcessorList,
        stopping_criteria: StoppingCriteriaList,
        generation_config: GenerationConfig,
        **model_kwargs: Any,
    ) -> Tensor | GenerateDecoderOnlyOutput:
        """Return [1, T + S] ids: the prompt's and the new ones."""
        _refuse_inputs(input_ids, model_kwargs)
        _refuse_modes(generation_config)
        processors = _processors(logits_processor, bool(generation_config.do_sample))
        if streamer is not None:
            streamer.put(input_ids.cpu())
        ids = self._decode(input_ids, processors, stopping_criteria, generation_config, streamer)
        if streamer is not None:
            streamer.end()
        if generation_config.return_dict_in_generate:
            return GenerateDecoderOnlyOutput(sequences=ids)  # type: ignore[arg-type]
        return ids

    def _decode(
        self,
        ids: Tensor,
        processors: Processors,
        stopping: StoppingCriteriaList,
        config: GenerationConfig,
        streamer: BaseStreamer | None,
    ) -> Tensor:
        rule = self.rule or default_rule(type(self.drafter), processors.temperature)()
        refuse_unless_exact(type(self.drafter), type(rule), processors.temperature)
        length, most = ids.shape[1], int(config.max_length)
        speculator = Speculator.of_models(
            self.target,
            self.draft,
            self.drafter,
            rule,
            processors,
            ids[0].tolist(),
            draft_len=self.draft_len,
            tree_budget=self.tree_budget,
            max_new_tokens=most - length,
            seed=int(torch.randint(2**31, ())) if self.seed is None else self.seed,
            shared=self.shared,
        )
        speculator.begin()
        last, done = self.last, False
        last.drafted, last.accepted, last.new_tokens = [], [], 0
        while not done:
            before = ids.shape[1]
            round_ = speculator.round(most - before)
            last.drafted.append(len(round_.tree.verified()) - 1)
            last.accepted.append(len(round_.verification.path) - 1)
            ids, done = _extended(ids, round_.tokens, stopping)
            last.new_tokens = ids.shape[1] - length
            if streamer is not None:
                streamer.put(ids[0, before:].cpu())
        return ids


def _extended(
    ids: Tensor, tokens: Sequence[int], stopping: StoppingCriteriaList
) -> tuple[Tensor, bool]:
    """Return ids [1, T] with new tokens up to where a criterion stops, and whether one did."""
    whole = torch.cat((ids, ids.new_tensor([list(tokens)])), 1)
    for end in range(ids.shape[1] + 1, whole.shape[1] + 1):
        if bool(stopping(whole[:, :end], None).all()):
            return whole[:, :end], True
    return whole, False


def _refuse_inputs(input_ids: Tensor, model_kwargs: dict[str, Any]) -> None:
    if input_ids.shape[0] != 1:
        raise ValueError(
            f"generate got {input_ids.shape[0]} sequences, and speculative decoding continues one: "
            "call it for each prompt, without num_beams and num_return_sequences"
        )
    if model_kwargs.pop("attention_mask", None) is not None:
        raise ValueError("attention_mask leaves out tokens of the prompt: give it without padding")
    cache, positions = (model_kwargs.get(name) for name in ("past_key_values", "position_ids"))
    if cache is not None and cache.get_seq_length():
        raise ValueError("past_key_values has tokens: leave it out, the whole prompt is read")
    if positions is not None and positions.flatten().tolist() != list(range(input_ids.shape[1])):
        raise ValueError("position_ids is not 0, 1, 2, ...: leave it out")
    if unknown := sorted(set(model_kwargs) - _IGNORED):
        raise ValueError(f"{', '.join(unknown)} cannot be kept to while drafting: leave it out")


def _refuse_modes(config: GenerationConfig) -> None:
    mode = config.get_generation_mode()
    if mode not in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE):
        raise ValueError(
            f"generate was asked for {mode.value}: inside apply_drafter it takes do_sample alone"
        )
    if asked := [name for name in _UNAVAILABLE if getattr(config, name, False)]:
        raise ValueError(f"{', '.join(asked)} is not available while drafting: leave it out")


def _processors(prepared: LogitsProcessorList, do_sample: bool) -> Processors:
    """Return the settings of prepared processors; refuse one that is not known."""
    found: dict[str, Any] = {"temperature": 1.0 if do_sample else 0.0}
    for processor in prepared:
        if type(processor) not in _SETTINGS:
            raise ValueError(
                f"{type(processor).__name__} cannot be applied to drafts: leave out the argument "
                "of generate that asks for it"
            )
        name, attribute = _SETTINGS[type(processor)]
        found[name] = getattr(processor, attribute)
    return Processors(**found)
