"""Policies see a layer through one view in every run, and only what they declared."""

import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from tests.cache.policies.twin import holding, view
from tests.trace.conftest import letters, twins
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.layer_view import LayerView, UndeclaredNeedError
from tokenarium.backend.cache.null_model.kept import null_kept
from tokenarium.backend.cache.null_model.scores import NullModelScores
from tokenarium.backend.cache.policies.adakv import AdaKV
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policies.kvcrush import KVCrush
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.cache.terms import CONTENT, NEEDS, Protected
from tokenarium.backend.cache.token_roles import protected
from tokenarium.backend.runs.events import CancelToken

__all__ = ["letters", "twins"]

POLICIES = [
    kind for kind in Policy.registry.all() if kind.__module__.startswith("tokenarium.backend.")
]
EVERY = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.slug)
BY_VIEW = sorted(NEEDS - {"attention"})
"""Needs that are read of a view; attention is handed to ``observe_step``."""


def read(view: LayerView, need: str) -> Any:
    """Read what a need gives access to."""
    return list(view.last_rows(1)) if need == "rows" else getattr(view, need)


@pytest.fixture
def declared() -> Iterator[Callable[..., type[Policy]]]:
    """A function that makes a policy from its class body; all made here are forgotten."""
    before = {**Policy.registry._entries}

    def make(slug: str, **body: Any) -> type[Policy]:
        words = {"title": slug, "explanation": "Made here.", "paper": "none; a baseline"}
        return type(slug, (Policy,), {"slug": slug, "__module__": __name__} | words | body)

    yield make
    Policy.registry._entries.clear()
    Policy.registry._entries.update(before)


@pytest.fixture
def value_norm(declared: Callable[..., type[Policy]]) -> type[Policy]:
    """The example in the docstring of ``Policy``."""
    text = inspect.cleandoc(Policy.__doc__ or "").partition("::\n")[2].partition("With budget")[0]
    names: dict[str, Any] = {"Policy": Policy, "Protected": Protected, "__name__": __name__}
    exec(textwrap.dedent(text), names)
    example: type[Policy] = names["ValueNorm"]
    return example


def test_the_documented_example_keeps_what_its_docstring_says(value_norm) -> None:
    policy, cache = value_norm(), holding(5, 3)
    values = torch.tensor([5.0, 1, 4, 2, 3])[None, :, None]
    cache.entries = Entries(torch.zeros(1, 5, 4), values, torch.arange(5))
    assert policy.kept(view(cache, policy), 3).indices[0].tolist() == [0, 2, 4]


def test_a_policy_that_follows_the_signature_works_in_every_run(twins, letters, value_norm) -> None:
    """The run itself, its null models, wrappers, roles of tokens and several layers as one."""
    value_norm.batches_layers = True
    loaded, _ = twins("llama")
    request = CacheRequest(
        model="tiny",
        text=letters(60),
        policies=["vnorm", PolicySpec("adakv", base="vnorm"), PolicySpec("kvcrush", base="vnorm")],
        budget=20,
        max_new_tokens=4,
    )
    result = follow_policies(request, loaded, 2048, lambda _: None, CancelToken())
    for one, spec in zip(result.runs, request.policies, strict=True):
        share = one.noise_share(2, 1, 0)
        assert share is not None
        assert 0 < share < 1
        own = protected(spec.policy, 20, 3, 1, len(result.prompt_ids))
        assert (own.first, own.newest) == (0, 1)
    assert np.isfinite(result.kl_nats).all()
    kept, full = CachedSequence(loaded, value_norm(), 20), CachedSequence(loaded, Full(), 1)
    for run in (kept, full):
        run.read(list(range(5, 65)))
    for cache, whole in zip(kept.layers, full.layers, strict=True):
        lengths = whole.entries.rows("values").norm(dim=-1)
        lengths[:, -1] = torch.inf
        expected = lengths.topk(20, 1).indices.sort(1).values
        assert cache.entries.rows("positions").tolist() == expected.tolist()


@pytest.mark.parametrize("need", BY_VIEW)
def test_what_was_not_declared_cannot_be_read_in_any_run(twins, declared, need: str) -> None:
    loaded, _ = twins("llama")

    def scores(self: Policy, view: LayerView) -> torch.Tensor:
        read(view, need)
        return view.positions.float()

    message = f"nosy reads {need}, which it does not declare: add '{need}' to its needs"
    nosy = declared("nosy", scores=scores)
    run = CachedSequence(loaded, nosy(), 20)
    with pytest.raises(UndeclaredNeedError, match=message):
        run.read(list(range(5, 65)))
    with pytest.raises(UndeclaredNeedError, match=message):
        CachedSequence(loaded, KVCrush(base="nosy"), 20).read(list(range(5, 65)))
    quiet = CachedSequence(loaded, nosy(), 100)  # never over its budget, so it has not scored yet
    quiet.read(list(range(5, 65)))
    for cache in quiet.layers:
        cache.budget = 20
    with pytest.raises(UndeclaredNeedError, match=message):
        null_kept(quiet, 1, 0, lambda _: True)


@pytest.mark.parametrize("need", BY_VIEW)
def test_prompts_and_steps_are_observed_through_the_same_view(twins, declared, need: str) -> None:
    loaded, _ = twins("llama")

    def observe_prompt(self: Policy, view: LayerView, stats: Any) -> None:
        read(view, need)

    def observe_step(self: Policy, view: LayerView, weights: Any) -> None:
        if need not in ("rows",):
            read(view, need)

    watching = {"needs": frozenset({"attention"}), "observe_step": observe_step}
    with pytest.raises(UndeclaredNeedError, match=f"reads {need}"):
        CachedSequence(loaded, declared("one", observe_prompt=observe_prompt)(), 9).read([5, 6])
    if need != "rows":
        run = CachedSequence(loaded, declared("two", **watching)(), 9)
        run.read([5, 6])
        with pytest.raises(UndeclaredNeedError, match=f"reads {need}"):
            run.read([7])


@EVERY
def test_every_declared_need_is_read(twins, monkeypatch, policy: type[Policy]) -> None:
    """A need that nothing reads would only take the policy's null model away."""
    loaded, _ = twins("llama")
    asked: set[str] = set()
    plain = LayerView._declared

    def noted(view: LayerView, name: Any) -> None:
        plain(view, name)
        asked.add(name)

    monkeypatch.setattr(LayerView, "_declared", noted)
    observes = policy.observe_step is not Policy.observe_step
    run = CachedSequence(loaded, policy(), 24)
    run.read(list(range(5, 65)))
    for token in (5, 6):
        run.read([token])
    assert asked | ({"attention"} if observes else set()) == run.needs


@EVERY
def test_null_scores_that_are_drawn_need_no_content(policy: type[Policy]) -> None:
    """What has to read keys or values has null scores of a shuffle; it must not say otherwise."""
    if policy().null_baseline() in ("even", "drawn"):
        assert not policy().all_needs() & CONTENT


def test_with_content_null_scores_are_those_of_a_shuffle(twins, value_norm) -> None:
    """It says even attention gives them, but reads values, which the null model has not."""
    value_norm.null_scores = "even"
    loaded, _ = twins("llama")
    run = CachedSequence(loaded, value_norm(), 20)
    run.keep_scores = True
    track = NullModelScores(run, 0)
    run.read(list(range(5, 65)))
    [expected, *_] = track.expected(run.dropped)
    assert expected is not None
    mean = run.dropped[0].scores[:, :-1].mean(1, keepdim=True).expand(-1, 60)
    torch.testing.assert_close(expected, mean)


def test_views_cannot_be_changed_and_state_has_names_of_its_own(twins) -> None:
    loaded, _ = twins("llama")
    run = CachedSequence(loaded, Full(), 1)
    run.read([5, 6, 7])
    layer = run.evictor.view(run.layers[0])
    with pytest.raises(AttributeError):
        layer.budget = 3
    for name in ("keys", "values", "positions", "moved"):
        for use in (layer.state, layer.has_state, lambda name: layer.put(name, layer.positions)):
            with pytest.raises(ValueError, match=f"name='{name}' is the cache's own"):
                use(name)


def test_needs_that_do_not_exist_are_refused_where_they_are_declared(declared) -> None:
    with pytest.raises(TypeError, match=r"has \['gradients'\]: choose from \['attention', 'keys'"):
        declared("wishful", needs=frozenset({"gradients"}))


def test_observing_steps_needs_attention(declared) -> None:
    def observe_step(self: Policy, view: LayerView, weights: Any) -> None: ...

    with pytest.raises(TypeError, match="add 'attention'"):
        declared("deaf", observe_step=observe_step)


def test_needs_of_a_wrapper_are_those_of_its_base() -> None:
    assert AdaKV(base="knorm").all_needs() == {"keys"}
    assert AdaKV(base="h2o").all_needs() == {"attention"}
