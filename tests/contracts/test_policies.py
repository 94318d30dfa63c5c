"""What every registered KV-cache policy must declare, refuse and deliver."""

import gc
import re
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import annotated_types
import pytest
import torch

import tokenarium.backend.cache.policies
from tests.trace.conftest import letters, twins
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.cache.runner import follow_policies
from tokenarium.backend.cache.storage_form import StorageForm
from tokenarium.backend.cache.terms import Label, Scope, When
from tokenarium.backend.runs.events import Cancelled, CancelToken
from tokenarium.backend.runs.lab import Lab

__all__ = ["letters", "twins"]

POLICIES = [
    kind for kind in Policy.registry.all() if kind.__module__.startswith("tokenarium.backend.")
]
EVERY = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.slug)
SENTENCE = re.compile(r"[A-Z].*\.", re.DOTALL)
PROMPT, BUDGET, STEPS = 90, 40, 14


def ids(count: int, seed: int = 0) -> list[int]:
    return torch.randint(2, 258, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def start(loaded: Any, policy: type[Policy], budget: int, **rest: Any) -> CachedSequence:
    return CachedSequence(loaded, policy(), budget, **rest)


def stepped(
    sequence: CachedSequence, length: int = PROMPT, steps: int = STEPS
) -> Iterator[torch.Tensor]:
    """Yield the logits after the prompt and after every step."""
    yield sequence.read(ids(length))
    for token in ids(steps, 1):
        yield sequence.read([token])


def kept(sequence: CachedSequence) -> list[list[list[int]]]:
    """Positions by layer and head."""
    return [
        [layer.entries.head("positions", g).tolist() for g in range(layer.entries.groups)]
        for layer in sequence.layers
    ]


@dataclass(frozen=True)
class Snapshot:
    """What is known after the prompt, or after a decode step."""

    logits: torch.Tensor
    kept: list[list[list[int]]]
    """Positions by layer and KV head."""
    selected: dict[int, list[list[int]]]
    """Positions that were read, by KV head, in the layers that read a selection."""


@dataclass(frozen=True)
class Course:
    """One run of a policy, read by all tests that only look."""

    policy: Policy
    """Fitted to the run."""
    budgets: list[int]
    """By layer."""
    steps: list[Snapshot]

    @staticmethod
    def of(loaded: Any, policy: type[Policy]) -> "Course":
        sequence = start(loaded, policy, BUDGET, seed=5)
        steps = []
        for logits in stepped(sequence):
            selected = {
                layer: [rows.tolist() for rows in chosen.positions]
                for layer, chosen in sequence.selected.items()
            }
            steps.append(Snapshot(logits, kept(sequence), selected))
        return Course(sequence.policy, [layer.budget for layer in sequence.layers], steps)


@pytest.fixture(scope="module")
def courses(twins) -> Callable[[type[Policy]], Course]:
    """A function from a policy to its run, made once."""
    return cache(lambda policy: Course.of(twins("llama")[0], policy))


@pytest.fixture
def course(courses, policy) -> Course:
    return courses(policy)


@pytest.fixture(scope="module")
def full(twins) -> list[torch.Tensor]:
    """The logits of the full cache after the prompt and after every step."""
    return list(stepped(CachedSequence(twins("llama")[0], Full(), 1)))


@pytest.fixture(scope="module")
def full_bytes(twins) -> int:
    """Bytes of the full cache after 512 tokens."""
    sequence = CachedSequence(twins("llama")[0], Full(), 1)
    sequence.read(ids(512))
    return sequence.cache_bytes


def out_of_bounds(policy: type[Policy]) -> Iterator[tuple[str, object]]:
    """Values just outside every declared bound."""
    for name, field in policy.model_fields.items():
        for bound in field.metadata:
            if isinstance(bound, annotated_types.Ge):
                yield name, bound.ge - 1
            if isinstance(bound, annotated_types.Gt):
                yield name, bound.gt
            if isinstance(bound, annotated_types.Le):
                yield name, bound.le + 1
            if isinstance(bound, annotated_types.Lt):
                yield name, bound.lt


def test_every_file_of_the_family_is_one_policy() -> None:
    folder = Path(tokenarium.backend.cache.policies.__path__[0])
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert {policy.__module__.rpartition(".")[2] for policy in POLICIES} == files
    assert len(POLICIES) == len(files) >= 5
    assert Lab.methods("policy") == Lab.methods(Policy) == Policy.registry.all()


@EVERY
def test_it_declares_all_that_the_page_shows(policy: type[Policy]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", policy.slug)
    assert policy.title
    assert policy.differs
    assert SENTENCE.fullmatch(policy.explanation)
    assert re.search(r"\d{4}, (arXiv:\d{4}\.\d{5}|PMLR \d+:\d+)|a baseline", policy.paper)
    assert policy.label in get_args(Label)
    assert policy.when in get_args(When)
    assert policy.scope in get_args(Scope)
    for name, field in policy.model_fields.items():
        assert SENTENCE.fullmatch(field.description or ""), name
        assert not field.is_required(), f"{name} has no default"
        numbers = {int, float} & {field.annotation, *get_args(field.annotation)}
        if numbers:
            assert any(name == given for given, _ in out_of_bounds(policy)), f"{name} is unbounded"
    policy(**policy.published)


@EVERY
def test_it_refuses_what_is_out_of_bounds_by_name(policy: type[Policy]) -> None:
    for name, value in out_of_bounds(policy):
        with pytest.raises(ValueError, match=f"{name}="):
            PolicySpec(policy.slug, **{name: value})
    with pytest.raises(ValueError, match="colour='red'"):
        PolicySpec(policy.slug, colour="red")


@EVERY
def test_entries_keep_to_the_budget_and_its_slack(course, policy) -> None:
    fitted = course.policy
    for step, snapshot in enumerate(course.steps):
        slack = 0
        if fitted.when == "prefill":
            slack = step
        elif fitted.when == "step":
            slack = step % fitted.eviction_interval(BUDGET)
        for layer, heads in enumerate(snapshot.kept):
            counts = [len(positions) for positions in heads]
            if fitted.when == "never":
                assert counts == [PROMPT + step] * 2
                continue
            most = sum(counts) / 2 if fitted.ragged else max(counts)
            assert most <= course.budgets[layer] + slack, f"step {step}, layer {layer}"
            assert min(counts) >= 1
    budgets = course.budgets
    assert sum(budgets) <= BUDGET * len(budgets) + len(budgets)  # rounded, each by less than one


@EVERY
def test_kept_positions_ascend_and_protected_ones_stay(course, policy) -> None:
    for step, snapshot in enumerate(course.steps):
        for layer, heads in enumerate(snapshot.kept):
            first, newest = course.policy.protects(course.budgets[layer], layer, PROMPT)
            selected = snapshot.selected.get(layer)
            assert (selected is None) or policy.label == "select"
            for positions in heads + (selected or []):
                assert positions == sorted(set(positions))
                assert set(range(first)) <= set(positions)
                assert set(range(PROMPT + step - newest, PROMPT + step)) <= set(positions)
        if course.policy.scope != "head":
            assert all(heads[0] == heads[1] for heads in snapshot.kept)
    assert bool(course.steps[-1].selected) == (policy.label == "select")


@EVERY
def test_bytes_freed_are_what_the_label_promises(twins, full_bytes, policy) -> None:
    loaded, _ = twins("llama")
    sequence = start(loaded, policy, 32)
    sequence.read(ids(512))
    if policy.label in ("reshape", "quantise"):
        assert sequence.cache_bytes < {"reshape": 0.92, "quantise": 0.6}[policy.label] * full_bytes
        assert sequence.dropped == []
        return
    kept = sum(
        layer.entries.buffers[name].untyped_storage().nbytes()
        for layer in sequence.layers
        for name in ("keys", "values")
    )
    whole = 3 * 2 * 2 * (512 + 16) * 8 * 4
    if policy.label in ("evict", "merge"):
        assert kept <= 3 * 2 * 2 * (32 + 8 + 1) * 8 * 4
        assert sequence.cache_bytes < 0.35 * full_bytes
        assert sequence.dropped
    if policy.label in ("nothing", "select", "mask"):
        assert kept == whole
        assert sequence.dropped == []


@EVERY
def test_the_same_seed_is_the_same_run(course, policy, twins) -> None:
    again = Course.of(twins("llama")[0], policy)
    for one, other in zip(course.steps, again.steps, strict=True):
        torch.testing.assert_close(one.logits, other.logits, rtol=0, atol=0)
        assert (one.kept, one.selected) == (other.kept, other.selected)


@EVERY
def test_a_budget_that_holds_everything_is_the_full_cache(twins, full, policy) -> None:
    loaded, _ = twins("llama")
    budget = 20 * (PROMPT + STEPS)  # also in the layers to which a policy gives least
    whole = {"newest": budget} if issubclass(policy, StorageForm) else {}
    sequence = CachedSequence(loaded, policy(**whole), budget)
    for one, other in zip(stepped(sequence), full, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert sequence.dropped == []


@EVERY
@pytest.mark.parametrize("length", [1, 3])
def test_a_prompt_of_few_tokens_is_read_and_continued(twins, policy, length: int) -> None:
    loaded, _ = twins("llama")
    for budget, steps in ((policy().smallest_budget(), STEPS), (BUDGET, 2)):  # 40 drop nothing
        for logits in stepped(start(loaded, policy, budget), length, steps):
            assert logits.isfinite().all()


@EVERY
def test_the_smallest_budget_runs_and_less_is_refused(twins, policy) -> None:
    loaded, _ = twins("llama")
    least = policy().smallest_budget()
    sequence = start(loaded, policy, least)
    for logits in stepped(sequence):
        assert logits.isfinite().all()
    assert (least == 1) or policy.label != "nothing"
    if least > 1:
        with pytest.raises(ValueError, match=f"raise budget to at least {least}"):
            start(loaded, policy, least - 1)


@EVERY
def test_a_second_turn_of_several_tokens_is_read(twins, policy) -> None:
    loaded, _ = twins("llama")
    sequence = start(loaded, policy, BUDGET)
    sequence.read(ids(PROMPT))
    for turn in (ids(7, 3), ids(1, 4), ids(60, 5)):
        assert sequence.read(turn).isfinite().all()
    for heads in kept(sequence):
        assert all(positions == sorted(set(positions)) for positions in heads)


@EVERY
def test_cancelled_in_the_middle_it_frees_its_memory(twins, policy) -> None:
    loaded, _ = twins("llama")
    token = CancelToken()
    sequence = start(loaded, policy, BUDGET, check=token.check)
    sequence.read(ids(PROMPT))
    buffers = [own for layer in sequence.layers for own in layer.entries.buffers.values()]
    gone = [weakref.ref(buffer) for buffer in buffers]
    del buffers
    token.cancel()
    gc.disable()
    try:
        with pytest.raises(Cancelled):
            sequence.read([5])
        del sequence
        assert [ref() for ref in gone if ref() is not None] == []
    finally:
        gc.enable()


@EVERY
def test_it_runs_from_a_request_to_a_result(twins, letters, policy) -> None:
    loaded, _ = twins("llama")
    request = CacheRequest(
        model="tiny", prompt=letters(60), policies=[policy.slug], budget=40, max_new_tokens=6
    )
    assert CacheRequest.model_validate(request.model_dump(mode="json")) == request
    result = follow_policies(request, loaded, 2048, lambda _: None, CancelToken())
    [one] = result.runs
    assert one.steps == 6 or one.token_ids[-1] == 1
    assert (one.label, one.policy) == (policy.label, policy.slug)
    assert any(note == f"variant: {policy.differs}" for note in one.notes) == (
        policy.differs != "no"
    )
    for step in range(one.steps):
        for layer in range(3):
            counts = [len(one.kept(step, layer, head)) for head in range(2)]
            assert sum(counts) / 2 == result.entries[0, step, layer]


def test_a_slug_is_taken_once() -> None:
    with pytest.raises(TypeError, match="slug='h2o' is taken by 'H2O'"):
        type("Again", (Policy,), {"slug": "h2o", "__annotations__": {}})
