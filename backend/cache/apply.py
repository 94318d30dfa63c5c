"""Policies for any causal language model of transformers.

``with tokenarium.apply("snapkv", model, budget=256): model.generate(...)``
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Cache, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.passing_cache import PassingCache
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import BudgetUnit, PolicySpec, policy_spec
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.observed import observed

_TAKEN = frozenset(
    {
        *("past_key_values", "attention_mask", "position_ids", "cache_position"),
        *("use_cache", "logits_to_keep", "return_dict"),
    }
)
"""Arguments of a forward pass that can be kept to, beside the tokens."""


@contextmanager
def apply(
    policy: str | PolicySpec | Policy | Sequence[str | PolicySpec],
    model: PreTrainedModel,
    *,
    budget: float,
    budget_unit: BudgetUnit = "tokens",
    seed: int = 0,
    prompt_chunk: int | None = None,
    **parameters: Any,
) -> Iterator["AppliedPolicy"]:
    """Let a model keep its KV cache by a policy within a ``with`` block.

    Texts and kept tokens are those of a run of the Cache page with the same settings. ``generate``
    and plain forward passes work as usual, greedily or sampling, with a streamer, turn after turn;
    entries are really dropped. What cannot be kept to is refused: batches, padding, beams,
    attention weights as output, caches that were filled outside the block::

        model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B").eval()
        with tokenarium.apply("snapkv", model, budget=256, window=32) as cache:
            ids = model.generate(**inputs, max_new_tokens=64)
        print(cache.kept(layer=5, head=0), cache.cache_bytes)

    Args:
        policy: name, ``PolicySpec("snapkv", window=32)``, a ``Policy`` of your own, or a recipe:
            ``["snapkv", PolicySpec("kv_quant", bits=4)]`` evicts, then stores in 4 bits.
        model: in evaluation mode; nothing else uses it meanwhile.
        budget: what the cache may hold right after an eviction.
        budget_unit: tokens per KV head, ratio (share of the prompt), or megabytes.
        seed: of what the policy draws, anew for every text.
        prompt_chunk: most tokens of a prompt that are read at once; after each such part the
            policy drops, or later parts read what it selects. None reads a prompt whole.
        parameters: of the policy, where it is given by name.
    Yields: what the text read last keeps.
    Raises:
        ValueError: if an argument, or one of a forward pass, cannot be kept to, or the budget or
            the model does not suit the policy.
        ModelRefused: if the model cannot be observed.
    """
    method = _method(policy, parameters)
    if prompt_chunk is not None and prompt_chunk < 1:
        raise ValueError(f"prompt_chunk={prompt_chunk} reads nothing: give 1 or more, or None")
    _refuse_applied(model)
    with observed(model) as loaded:
        applied = AppliedPolicy(_Settings(loaded, method, budget, budget_unit, seed, prompt_chunk))
        with _replaced_forward(model, applied):
            yield applied


@dataclass(frozen=True)
class _Settings:
    """What every text inside a block is read with."""

    loaded: LoadedModel
    policy: Policy
    budget: float
    budget_unit: BudgetUnit
    seed: int
    prompt_chunk: int | None

    def begin(self, prompt: int) -> CachedSequence:
        """Return an empty cache for a text that begins with so many tokens."""
        windowed = (
            capabilities.layers(self.loaded).windowed if self.budget_unit == "megabytes" else ()
        )
        sizes = CacheSizes.of(self.loaded, len(windowed))
        budget = tokens_per_head(self.budget, self.budget_unit, prompt, sizes)
        chunk = self.prompt_chunk
        return CachedSequence(self.loaded, self.policy, budget, self.seed, prompt_chunk=chunk)


class AppliedPolicy:
    """What the text read last inside ``apply`` keeps, also after the block."""

    def __init__(self, settings: _Settings) -> None:
        self._settings = settings
        self._sequence: CachedSequence | None = None

    @property
    def tokens_seen(self) -> int:
        """Tokens of the text that the model has read; the last one generated is not read."""
        return 0 if self._sequence is None else self._sequence.seen

    @property
    def cache_bytes(self) -> int:
        """Bytes of the storage behind all layers' entries."""
        return 0 if self._sequence is None else self._sequence.cache_bytes

    def kept(self, layer: int, head: int) -> NDArray[np.int32]:
        """Return the ascending positions [n] of the tokens that a KV head of a layer keeps.

        Raises:
            ValueError: if nothing was read yet, or there is no such layer or head.
        """
        if self._sequence is None:
            raise ValueError("no text was read inside apply yet: call model.generate first")
        layers = {cache.layer: cache.entries for cache in self._sequence.layers}
        if layer not in layers:
            whole = max(layers) - min(layers) + 1 == len(layers)
            which = f"{min(layers)} to {max(layers)}" if whole else f"one of {list(layers)}"
            raise ValueError(f"layer={layer} does not exist: choose {which}")
        groups = layers[layer].groups
        if not 0 <= head < groups:
            raise ValueError(f"head={head} does not exist: choose 0 to {groups - 1}")
        kept: NDArray[np.int32] = layers[layer].head("positions", head).cpu().numpy()
        return kept.copy()

    def forward(self, ids: Tensor, given: dict[str, Any]) -> CausalLMOutputWithPast:
        """Read tokens [1, n] and return the logits after those asked for, [1, k, V].

        Args:
            ids: of one text, without padding.
            given: the other arguments of the forward pass.
        """
        sequence = self._continued(given.get("past_key_values"), ids.shape[1])
        _refuse_hidden(ids, given, sequence.seen)
        loaded, tokens = self._settings.loaded, sequence.seen + ids.shape[1]
        if tokens > loaded.context and not loaded.reads_past_context:
            raise ValueError(
                f"{tokens} tokens are above the {loaded.context} learned positions of "
                f"{loaded.name}: lower max_new_tokens, or choose a model with rotary positions"
            )
        self._sequence = sequence
        keep = given.get("logits_to_keep", 0)
        if isinstance(keep, int) and keep == 1:
            logits = sequence.read(ids[0].tolist())[None]
        else:
            every = sequence.read_each(ids[0].tolist())
            logits = every[keep] if isinstance(keep, Tensor) else every[-keep:]
        sequence.dropped.clear()
        # Outside of inference mode, so that callers may use it as they like.
        return CausalLMOutputWithPast(logits=logits[None].clone(), past_key_values=sequence.cache)

    def _continued(self, cache: Cache | None, tokens: int) -> CachedSequence:
        """Return the text that a cache belongs to; a new one where there is no cache yet."""
        current = self._sequence
        if current is not None and cache is current.cache:
            return current
        if isinstance(cache, PassingCache):
            raise ValueError("past_key_values belongs to an earlier text: go on with the newest")
        if cache is not None and cache.is_compileable:
            raise ValueError(
                "a static cache has room for every token and drops none: leave out "
                "cache_implementation"
            )
        if cache is not None and cache.get_seq_length():
            raise ValueError(
                "past_key_values was filled outside apply: give the whole text, without it"
            )
        return self._settings.begin(tokens)


def _method(
    policy: str | PolicySpec | Policy | Sequence[str | PolicySpec], parameters: dict[str, Any]
) -> Policy:
    if isinstance(policy, str):
        return PolicySpec(slug=policy, parameters=parameters).method
    if parameters:
        raise ValueError(
            f"{', '.join(parameters)} is given beside a policy with parameters of its own: put it "
            "into the policy"
        )
    if isinstance(policy, Policy):
        return policy
    spec: PolicySpec = policy_spec(policy)
    return spec.policy


def _refuse_applied(model: PreTrainedModel) -> None:
    """Refuse a model whose forward pass or ``generate`` is replaced already."""
    for name, marker in (("forward", "applied"), ("generate", "plain")):
        if hasattr(vars(model).get(name), marker):
            raise ValueError(
                f"model is in another block of this project, which replaced its {name}: leave that "
                "first"
            )


@contextmanager
def _replaced_forward(model: PreTrainedModel, applied: AppliedPolicy) -> Iterator[None]:
    instance: Any = model
    outer = vars(model).get("forward")
    plain: Callable[..., Any] = model.forward

    @wraps(plain)
    def forward(input_ids: Tensor | None = None, **given: Any) -> Any:
        out = applied.forward(_one_text(input_ids, given), given)
        return out if given.get("return_dict", True) else out.to_tuple()

    forward.applied = applied  # type: ignore[attr-defined]
    instance.forward = forward
    try:
        yield
    finally:
        del instance.forward
        if outer is not None:
            instance.forward = outer


def _one_text(ids: Tensor | None, given: dict[str, Any]) -> Tensor:
    """Return the tokens [1, n] of a forward pass; refuse what is not taken."""
    if ids is None:
        raise ValueError("inputs_embeds has no tokens to keep: give input_ids")
    if ids.shape[0] != 1:
        raise ValueError(
            f"input_ids has {ids.shape[0]} texts, a policy keeps the cache of one: give one text, "
            "without beams or several sequences"
        )
    if given.get("use_cache") is False:
        raise ValueError("use_cache=False leaves no cache to keep: leave it out")
    for name, value in given.items():
        if name not in _TAKEN and value is not None and value is not False:
            raise ValueError(f"{name} is not taken inside apply: leave it out")
    return ids


def _refuse_hidden(ids: Tensor, given: dict[str, Any], seen: int) -> None:
    """Refuse masks that hide tokens, and positions that do not go on from the tokens seen."""
    mask, positions = given.get("attention_mask"), given.get("position_ids")
    if mask is not None and (not isinstance(mask, Tensor) or mask.dim() != 2 or not mask.all()):
        raise ValueError(
            "attention_mask hides tokens: give one text without padding, with a mask of ones "
            "where it has the padding token, and no mask of its own"
        )
    expected = torch.arange(seen, seen + ids.shape[1])
    if positions is not None and not torch.equal(positions.flatten().cpu(), expected):
        raise ValueError(
            f"position_ids does not go on from {seen}: leave it out, and give no padding"
        )
