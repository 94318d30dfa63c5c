"""Drafters and acceptance rules for any causal language model of transformers.

``with tokenarium.apply_drafter("prompt_lookup", model): model.generate(...)``
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.observed import observed
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.generate import SpeculativeDecoding, SpeculativeGeneration
from tokenarium.backend.speculation.request import DrafterSpec, RuleSpec
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.vocabulary import SharedVocabulary, logits_width, match


@contextmanager
def apply_drafter(
    drafter: str | DrafterSpec | Drafter,
    model: PreTrainedModel,
    *,
    rule: str | RuleSpec | Rule | None = None,
    draft_model: PreTrainedModel | None = None,
    tokenizer: PreTrainedTokenizerFast | None = None,
    draft_tokenizer: PreTrainedTokenizerFast | None = None,
    draft_len: int = 4,
    tree_budget: int = 16,
    seed: int | None = None,
) -> Iterator[SpeculativeGeneration]:
    """Let ``model.generate`` decode speculatively within a ``with`` block.

    The text is that of a run of the Speculate page with the same settings and seed, token for
    token; with a lossless rule, and greedily, it is distributed as without drafts. ``generate``
    takes its usual arguments for one prompt without padding: temperature, top-k, top-p, min-p,
    repetition penalty, lengths, stopping criteria, a streamer. What it cannot keep to it refuses::

        model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-1.7B")
        draft = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")
        with tokenarium.apply_drafter("gumbel_tree", model, draft_model=draft) as speculation:
            ids = model.generate(**inputs, max_new_tokens=64, do_sample=True, temperature=0.8)
        print(speculation.tokens_per_target_call)

    Args:
        drafter: name, ``DrafterSpec("prompt_lookup", longest=2)``, or a ``Drafter`` of your own.
        model: the target, in evaluation mode.
        rule: likewise; None takes a lossless one that goes with the drafter and the temperature.
        draft_model: where the drafter drafts with one.
        tokenizer: of the target; with ``draft_tokenizer`` the vocabularies are compared token by
            token, without them their sizes must be equal.
        draft_tokenizer: of the draft model.
        draft_len: deepest drafted node.
        tree_budget: most drafted tokens that one pass of the target verifies.
        seed: of everything sampled; None takes one from torch's global generator at each call.
    Yields: what the last ``generate`` drafted and accepted.
    Raises:
        ValueError: if an argument, or one of ``generate``, cannot be kept to.
        ModelRefused: if a model cannot be observed.
    """
    method = _method(drafter, DrafterSpec)
    _refuse_wrong_draft(method, draft_model)
    for name, value in (("draft_len", draft_len), ("tree_budget", tree_budget)):
        if value < 1:
            raise ValueError(f"{name}={value} is below 1: raise it to at least 1")
    with ExitStack() as stack:
        target = stack.enter_context(observed(model, tokenizer))
        draft = None
        if draft_model is not None:
            draft = stack.enter_context(observed(draft_model, draft_tokenizer))
        decoding = SpeculativeDecoding(
            target=target,
            draft=draft,
            shared=None if draft is None else _shared(target, draft),
            drafter=method,
            rule=None if rule is None else _method(rule, RuleSpec),
            draft_len=draft_len,
            tree_budget=tree_budget,
            seed=seed,
        )
        stack.enter_context(_replaced_generate(model, decoding))
        yield decoding.last


def _method(method: Any, spec: type[DrafterSpec] | type[RuleSpec]) -> Any:
    if isinstance(method, str):
        method = spec(slug=method)
    return method.method if isinstance(method, spec) else method


def _refuse_wrong_draft(drafter: Drafter, draft_model: PreTrainedModel | None) -> None:
    wanted = drafter.source == "draft_model"
    if wanted and draft_model is None:
        raise ValueError(f"drafter={drafter.slug!r} drafts with a second model: give draft_model")
    if draft_model is not None and not wanted:
        raise ValueError(f"drafter={drafter.slug!r} has no draft model: leave draft_model out")


def _shared(target: LoadedModel, draft: LoadedModel) -> SharedVocabulary | None:
    """Return how the draft model's ids are the target's; None where they are taken to be."""
    widths = logits_width(target), logits_width(draft)
    if target.tokenizer is not None and draft.tokenizer is not None:
        shared = match(target.tokenizer, draft.tokenizer, *widths)
        if shared.agreement != "equal":
            raise ValueError(
                f"draft_model does not have the tokens of model ({shared.reason}): choose another "
                "draft_model"
            )
        return shared
    if widths[0] != widths[1]:
        raise ValueError(
            f"draft_model has logits of {widths[1]} tokens and model of {widths[0]}: give "
            "tokenizer and draft_tokenizer, or choose another draft_model"
        )
    return None


@contextmanager
def _replaced_generate(model: PreTrainedModel, decoding: "SpeculativeDecoding") -> Iterator[None]:
    instance: Any = model
    outer = vars(model).get("generate")
    plain: Any = getattr(outer, "plain", model.generate)  # of two nested drafters the inner drafts
    if hasattr(vars(model).get("forward"), "applied"):
        raise ValueError("model keeps its cache by a policy, which drafts would miss: leave apply")

    def generate(*args: Any, **kwargs: Any) -> Any:
        for name in ("assistant_model", "custom_generate"):
            if kwargs.get(name) is not None:
                raise ValueError(f"{name} is not taken inside apply_drafter: leave it out")
        streamer = kwargs.pop("streamer", None)
        return plain(*args, custom_generate=partial(decoding.generate, streamer), **kwargs)

    instance.generate = generate
    instance.generate.plain = plain
    try:
        yield
    finally:
        del instance.generate
        if outer is not None:
            instance.generate = outer
