"""The load-time check: does the model compute the same when it is observed, and where we think?"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from tokenarium.backend.models.interface import asks_interface, implementation_of
from tokenarium.backend.models.layer_kinds import attention_layers
from tokenarium.backend.models.loaded import LoadedModel, Verdict
from tokenarium.backend.models.probes.lengths import (
    LONGEST_READ,
    SMALL,
    lengths_of,
    small_lengths,
)
from tokenarium.backend.models.probes.weights import minus_infinities, why_not_numbers
from tokenarium.backend.models.structure import embedding_entries
from tokenarium.backend.observe import NAME, AttentionCall, Recorder, recording
from tokenarium.backend.observe.attention import UnknownArgument
from tokenarium.backend.observe.fresh_rotary import rotary_switch
from tokenarium.backend.observe.streams import stream as one_stream

TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 6e-2}
"""Largest difference of logits allowed, as a share of the largest |logit|, by dtype."""

_SHORT = 64
_PAST = 9
"""Tokens that are read past a length at which the model changes its ways."""
_AGAIN = 16
"""Fewest tokens read before and after a longer text, which must give the same."""
_FEWER = 4
"""By how many tokens that text is shorter where the model changes with length."""
_FAILURES = (ValueError, TypeError, RuntimeError, LookupError, AttributeError, AssertionError)


class _Firings(Recorder):
    """Notes which layers fired, and inside which layer of the stream."""

    def __init__(self, stream: "_Stream") -> None:
        super().__init__()
        self._stream = stream
        self.inside: list[int] = []

    def attend(self, call: AttentionCall) -> Tensor:
        self.inside.append(len(self._stream.entering) - 1)
        return super().attend(call)


@dataclass
class _Stream:
    """The residual stream as it enters and leaves each layer."""

    entering: list[Tensor] = field(default_factory=list)
    leaving: list[Tensor] = field(default_factory=list)


def check(loaded: LoadedModel) -> Verdict:
    """Run the model three ways on fixed tokens, and compare.

    Observed attention must fire once in each layer that attends, in order; the logits must equal
    those of sdpa, or of eager where the family refuses sdpa; and the last layer's residual through
    final norm and unembedding must give those logits again. The tokens go past every length at
    which the model changes its ways; where one is too long for that, the same is done once more
    with the model's long lengths made short. A few tokens read before and after must give the same
    numbers, and those that they have at the beginning of the text.

    Args:
        loaded: the model; nobody else uses it meanwhile, and it is left as it was.
    Returns: the verdict; a forward pass that fails is a reason, not an exception.
    """
    if reason := why_not_numbers(loaded):
        return Verdict(False, reason, float("nan"))
    lengths = lengths_of(loaded.model)
    read = [length for length in lengths.values() if length <= LONGEST_READ]
    found = _compared(loaded, max(_SHORT, *(length + _PAST for length in read), 0))
    long = {name: length for name, length in lengths.items() if length > LONGEST_READ}
    if not found.supported or not long:
        return found
    with small_lengths(loaded.model):
        past = _compared(loaded, _SHORT)
    which = ", ".join(f"{name}={length}" for name, length in sorted(long.items()))
    if not past.supported:
        return replace(past, reason=f"with {which} made {SMALL} for a trial, {past.reason}")
    worst = max(found.max_difference, past.max_difference)
    return Verdict(True, f"{found.reason}; also with {which} made {SMALL}", worst)


def _compared(loaded: LoadedModel, tokens: int) -> Verdict:
    """Compare what fixed tokens give, observed and not."""
    ids = _fixed_ids(loaded, tokens)
    again = ids[:, : max(_AGAIN, ids.shape[1] - _FEWER) if lengths_of(loaded.model) else _AGAIN]
    stream, plain = _Stream(), Recorder()
    counter = _Firings(stream)
    try:
        with torch.inference_mode():
            before = _logits(loaded, again)
            with recording(counter), _watching(loaded.layers, stream):
                logits = _logits(loaded, ids)
            after = _logits(loaded, again)
            compared = _plain_implementation(loaded)
            if asks_interface(loaded.model):
                with _implementation(loaded, compared), recording(plain):
                    reference = _logits(loaded, ids)
            else:  # without a recorder it computes its attention as it always does
                reference = _logits(loaded, ids)
            if not bool(torch.isfinite(reference).all()):
                return Verdict(False, _overflow(loaded, stream), float("nan"))
            hidden = one_stream(loaded.layers[-1], stream.leaving[-1]) if stream.leaving else None
            alone = hidden is not None and not _has_several_streams(loaded, hidden)
            rebuilt = _rebuild(loaded, hidden) if alone and hidden is not None else None
    except torch.OutOfMemoryError:
        raise
    except UnknownArgument as error:
        return Verdict(False, str(error), float("nan"))
    except _FAILURES as error:
        half = loaded.dtype != torch.float32
        remedy = "choose dtype=float32, or another model" if half else "choose another model"
        return Verdict(False, f"a trial run failed ({error}): {remedy}", float("nan"))
    if plain.order:
        return Verdict(False, f"it cannot be run with {compared} to compare with", float("nan"))
    verdict = _judge(loaded, counter, stream, logits, reference, rebuilt, compared)
    if verdict.supported and not _near(loaded, _difference(after, before)):
        return Verdict(
            False,
            f"{again.shape[1]} tokens give other logits after a longer text than before it: it "
            "remembers what it read, choose another model",
            _difference(after, before),
        )
    shorter = _at_the_beginning(loaded, logits, before)
    # Some rotary positions turn otherwise in a longer text: there a beginning alone is another.
    if verdict.supported and rotary_switch(loaded.model) is None and not _near(loaded, shorter):
        return Verdict(
            False,
            f"the logits after its first {len(before)} tokens change with what follows them, by "
            f"{shorter:.1e} of the largest: it reads both sides of a token, choose a causal model",
            shorter,
        )
    return verdict


def _at_the_beginning(loaded: LoadedModel, logits: Tensor, alone: Tensor) -> float:
    """Return by how much logits [T, V] differ from those [t, V] that their first tokens had alone.

    In half precision a tie between experts may fall otherwise at a token: there the median counts.
    """
    rows = [_difference(own, other) for own, other in zip(logits, alone, strict=False)]
    return max(rows) if loaded.dtype == torch.float32 else sorted(rows)[len(rows) // 2]


def _near(loaded: LoadedModel, difference: float) -> bool:
    return difference <= TOLERANCE[loaded.dtype]


def _judge(
    loaded: LoadedModel,
    counter: _Firings,
    stream: _Stream,
    logits: Tensor,
    reference: Tensor,
    rebuilt: Tensor | None,
    compared: str,
) -> Verdict:
    tolerance = TOLERANCE[loaded.dtype]
    difference = _difference(logits, reference)
    again = float("inf") if rebuilt is None else _difference(rebuilt, logits)
    attending = list(attention_layers(loaded.model.config))
    failure = None
    if counter.order != attending:
        failure = _unseen(counter.order, attending)
    elif _has_several_streams(loaded, one_stream(loaded.layers[-1], stream.leaving[-1])):
        failure = (
            "it has several residual streams side by side, of which one could be shown: choose "
            "another model"
        )
    elif not difference <= tolerance:
        failure = (
            f"observed logits differ from {compared} by {difference:.1e} of the largest, above "
            f"{tolerance:g}: its attention does more than is understood here, choose another model"
        )
    elif not (_is_chain(stream) and counter.inside == attending and again <= tolerance):
        failure = (
            "its residual stream does not lead through the layers to the logits: choose another "
            "model"
        )
    if failure:
        return Verdict(False, failure, difference)
    return Verdict(
        True,
        f"logits equal to {compared} within {tolerance:g} of the largest, {_name(loaded.dtype)}, "
        f"{logits.shape[0]} tokens, {len(attending)} layers",
        difference,
    )


def _unseen(order: list[int], attending: list[int]) -> str:
    """Return what is wrong with the layers that attention was seen in."""
    if not order:
        return (
            f"attention was seen in layers [], in none of {attending}: they sum the text up in a "
            "state, or attend otherwise than by queries, keys, softmax and values, so choose a "
            "decoder with attention, such as llama or qwen3"
        )
    if len(order) > len(attending) and sorted(set(order)) == attending:
        times = len(order) // len(attending)
        return (
            f"its layers attend {times} times each and take one map from another (differential "
            "attention), which no single map of weights shows: choose another model"
        )
    return (
        f"attention was seen in layers {order}, not once in each of {attending}: it is computed "
        "otherwise than by queries, keys, softmax and values there, choose another model"
    )


def _overflow(loaded: LoadedModel, stream: _Stream) -> str:
    """Return where the numbers of a trial run are not finite any more, and what to do."""
    broken = (at for at, left in enumerate(stream.leaving) if not bool(torch.isfinite(left).all()))
    layer = next(broken, None)
    where = "in its logits" if layer is None else f"in layer {layer} of {len(loaded.layers)}"
    if names := minus_infinities(loaded):
        return (
            f"its numbers are not finite {where}, and its weight {names[0]} is minus infinity in "
            "places: download it again, or choose another model"
        )
    other = "another model" if loaded.dtype == torch.float32 else "dtype=float32"
    return f"its numbers overflow {_name(loaded.dtype)} {where}: choose {other}"


def _fixed_ids(loaded: LoadedModel, tokens: int) -> Tensor:
    """Return [1, T] ids, fewer than asked for where the model has fewer positions."""
    length = tokens if loaded.reads_past_context else min(tokens, loaded.context)
    ids = (torch.arange(length) * 7919 + 13) % embedding_entries(loaded.model)
    return ids[None].to(loaded.device)


def _logits(loaded: LoadedModel, ids: Tensor) -> Tensor:
    logits: Tensor = loaded.model(input_ids=ids, use_cache=False).logits
    return logits[0].float()


def _has_several_streams(loaded: LoadedModel, hidden: Tensor) -> bool:
    """Return whether what leaves the last layer is more than one residual stream.

    Hyper-connections stand in a dimension of their own, or one after another in the last one.
    """
    width = loaded.model.config.get_text_config().hidden_size
    return hidden.dim() > 3 or hidden.shape[-1] > width


def _rebuild(loaded: LoadedModel, hidden: Tensor) -> Tensor:
    normed = hidden if loaded.final_norm is None else loaded.final_norm(hidden)
    return loaded.unembed(normed)[0].float()


def _difference(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        return float("inf")  # hyper-connections: several streams side by side
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-6))


def _is_chain(stream: _Stream) -> bool:
    """Whether each layer reads exactly what the layer before it wrote."""
    return all(map(torch.equal, stream.leaving[:-1], stream.entering[1:]))


def _plain_implementation(loaded: LoadedModel) -> str:
    if not asks_interface(loaded.model):
        return implementation_of(loaded.model)
    # Some versions of transformers offer sdpa where it leaves out the cap on attention logits.
    capped = getattr(loaded.model.config.get_text_config(), "attn_logit_softcapping", None)
    offered = getattr(type(loaded.model), "_supports_sdpa", False)
    return "sdpa" if offered and not capped else "eager"


@contextmanager
def _implementation(loaded: LoadedModel, name: str) -> Iterator[None]:
    config = loaded.model.config
    text = config.get_text_config()
    # Parts for images and sound keep theirs: not every one of them takes what text does.
    part = next((key for key in config.sub_configs if getattr(config, key) is text), None)
    loaded.model.set_attn_implementation(name if part is None else {part: name})
    try:
        yield
    finally:
        loaded.model.set_attn_implementation(NAME if part is None else {part: NAME})


@contextmanager
def _watching(layers: tuple[nn.Module, ...], stream: _Stream) -> Iterator[None]:
    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        stream.entering.append(args[0] if args else kwargs["hidden_states"])

    def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        stream.leaving.append(output if isinstance(output, Tensor) else output[0])

    hooks = [layer.register_forward_pre_hook(before, with_kwargs=True) for layer in layers]
    hooks += [layer.register_forward_hook(after) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
