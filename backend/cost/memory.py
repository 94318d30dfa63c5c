"""What a cache will take after every step: the lengths of a run without its tensors."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.cache.budget import CacheSizes, entry_bytes
from tokenarium.backend.cache.entries import room
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.prompt_parts import lengths_of_parts
from tokenarium.backend.cache.storage_form import plan_of
from tokenarium.backend.cache.storage_plan import StoragePlan
from tokenarium.backend.models.layer_kinds import LayerSizes

_NUMBER_BYTES = 4


class _Head:
    """Length and room of one head; grows, shrinks and moves as ``Entries`` does."""

    def __init__(self, count: int) -> None:
        self.count, self.size = count, count + room(count)

    def append(self, new: int = 1) -> None:
        self.count += new
        if self.count > self.size:
            self.size = self.count + room(self.count)

    def keep(self, count: int) -> None:
        if self.size - count > 2 * room(count):
            self.size = count + room(count)
        self.count = count


def bytes_by_step(
    policy: Policy,
    budget: int,
    prompt: int,
    steps: int,
    windows: Sequence[int | None],
    sizes: CacheSizes,
    prompt_chunk: int | None = None,
) -> NDArray[np.int64]:
    """Return [steps] bytes of the storage a policy will hold after each step, the prompt first.

    Exact wherever all heads of a layer hold equally many entries, or as many as their roles say,
    and nothing is dropped inside a window of the model, which later frees some of what is kept;
    where a policy shares them out among heads by the text, room to grow is rounded for each, so
    that a run differs by a few entries.

    Args:
        policy: as asked for.
        budget: entries per head right after an eviction, averaged over the layers.
        prompt: tokens of the prompt.
        steps: tokens to generate; the last of them is not read.
        windows: by layer that attends the most keys a query sees by the model's design; None for
            all.
        sizes: of the model.
        prompt_chunk: most tokens of the prompt that are read at once; None for all.
    """
    layers = len(windows)
    if is_shared_out(policy, windows, sizes):
        return _bytes_of_shares(policy, budget, prompt, steps, sizes)
    budgets = policy.layer_budgets(budget, layers, prompt)
    due = [policy.evicts_at(step, budget) for step in range(steps)]
    stored = _stored_layers(policy, windows)
    kinds = Counter(
        (policy.prompt_length_at(layer, budget, prompt), budgets[layer], window, heads, own)
        for layer, (window, heads, own) in enumerate(
            zip(windows, sizes.by_layer, stored, strict=True)
        )
    )
    total = np.zeros(steps, np.int64)
    for (length, own, window, heads, stored_so), many in kinds.items():
        parts = lengths_of_parts(length, prompt_chunk)
        room_at, evicted = _course(policy, own, due, parts, window)
        acts = policy.acts_within(window, own)
        each = np.full(steps, entry_bytes(heads, sizes.number_bytes), np.int64)
        if acts:
            each += heads.kv_heads * _NUMBER_BYTES * policy.state_per_token()
            key = heads.head_size * sizes.number_bytes
            each += heads.kv_heads * _moving_bytes(policy, prompt, evicted, sizes, key, parts)
        plan = plan_of(policy, heads.head_size) if window is None and stored_so else None
        if plan is None:
            total += many * each * room_at
        else:
            whole = 2 * heads.head_size * sizes.number_bytes
            rows = (each - heads.kv_heads * whole) * room_at
            held = _course(policy, own, due, parts, window, room=False)[0]
            total += many * (rows + _packed_bytes(plan, heads, sizes.number_bytes, room_at, held))
    return total


def is_shared_out(policy: Policy, windows: Sequence[int | None], sizes: CacheSizes) -> bool:
    """Return whether heads hold different numbers of entries that are known before a run.

    So it is where all layers are alike and see everything, and entries are stored as they are.
    """
    alike = len(set(sizes.by_layer)) == 1 and not any(windows) and not policy.forms
    return alike and policy.shares_of_heads(1, 1, 1) is not None


def _bytes_of_shares(
    policy: Policy, budget: int, prompt: int, steps: int, sizes: CacheSizes
) -> NDArray[np.int64]:
    """Return [steps] bytes where heads hold different numbers of the prompt's entries."""
    layer = sizes.by_layer[0]
    each = entry_bytes(layer, sizes.number_bytes) // layer.kv_heads
    each += _NUMBER_BYTES * policy.state_per_token()
    shares = policy.shares_of_heads(budget, len(sizes.by_layer) * layer.kv_heads, prompt)
    assert shares is not None
    total = np.zeros(steps, np.int64)
    for held, heads in shares:
        head = _Head(prompt)
        head.keep(held)
        for step in range(steps):
            if step:
                head.append()
            total[step] += heads * each * head.size
    return total


def _stored_layers(policy: Policy, windows: Sequence[int | None]) -> list[bool]:
    """Return by layer whether older entries are stored otherwise, where that is asked for."""
    if not policy.forms or not policy.forms[0].alone:
        return [True] * len(windows)
    found = [False] * len(windows)
    for lower in policy.forms[0].paired_layers(len(windows)):
        if windows[lower] is None and windows[lower + 1] is None:
            found[lower] = found[lower + 1] = True
    return found


def _moving_bytes(
    policy: Policy,
    prompt: int,
    evicted: NDArray[np.bool_],
    sizes: CacheSizes,
    key: int,
    parts: Sequence[int],
) -> NDArray[np.int64]:
    """Return [steps] bytes per entry and KV head that say where a key was moved to.

    In half precision the unmoved key stays beside it from the first move on.
    """
    steps = np.arange(len(evicted))
    if policy.positions == "original":
        return np.zeros(len(steps), np.int64)
    after_first = steps >= int(len(parts) == 1)  # readings after the first look at old keys
    moved = evicted if policy.positions == "rolled" else after_first
    far = evicted
    if policy.positions == "capped":
        cap = sizes.context - 1 if (own := policy.distance_cap()) is None else own
        far = after_first & (prompt + steps - 1 > cap)
    whole = 0 if sizes.number_bytes == _NUMBER_BYTES else key
    return np.asarray(_NUMBER_BYTES * moved + whole * far, np.int64)


def _packed_bytes(
    plan: StoragePlan,
    heads: LayerSizes,
    number_bytes: int,
    room_at: NDArray[np.int64],
    held: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return [steps] bytes of the keys and values of a layer that stores older ones otherwise.

    Args:
        plan: how.
        heads: of the layer.
        number_bytes: of a number of the model.
        room_at: [steps] rows of a head.
        held: [steps] entries of a head.
    """
    packed = plan.at_once(int(held[0]))
    paired = 0
    if plan.apart is not None:
        paired = plan.paired_bytes(packed, heads.head_size, number_bytes)
    newest, found = _Head(int(held[0]) - packed), np.empty(len(held), np.int64)
    row = 0 if paired else plan.packed_bytes(heads.head_size, number_bytes)
    whole = entry_bytes(heads, number_bytes) // heads.kv_heads
    for step in range(len(held)):
        if step:
            newest.append()
            more = plan.at_once(newest.count) if plan.together else 0
            newest.count -= more
            packed = min(packed + more, int(held[step]))
        groups = -(-packed // plan.together) if plan.together else 0
        found[step] = (packed > 0) * row * room_at[step] + whole * newest.size
        found[step] += groups * plan.group_bytes(heads.head_size) + plan.channel_bytes() + paired
    return heads.kv_heads * found


def _course(
    policy: Policy,
    budget: int,
    due: Sequence[bool],
    parts: Sequence[int],
    window: int | None,
    *,
    room: bool = True,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return by step how many entries a head has room for, and whether one was evicted by then.

    Without ``room``, it is how many entries the head holds.

    Args:
        parts: tokens of each part of the prompt; all but the last are read before step 0.
    """
    head, acts = _Head(parts[0]), policy.acts_within(window, budget)
    found, evicted = np.empty(len(due), np.int64), np.zeros(len(due), np.bool_)
    readings = [(0, new) for new in parts] + [(step, 1) for step in range(1, len(due))]
    for number, (step, new) in enumerate(readings):
        if number:
            head.append(new)
        if window is not None:
            head.count = min(head.count, window - 1)
        if acts and due[step] and head.count > budget:
            head.keep(policy.size_after_eviction(budget))
            evicted[step:] = True
        found[step] = head.size if room else head.count
    return found, evicted
