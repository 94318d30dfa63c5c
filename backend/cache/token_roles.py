"""Why each token is where it is: kept, sink, heavy hitter, recent, read, or evicted, by step."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.cache.decision_quantities import NO_HEAD
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.policy_run import PolicyRun
from tokenarium.backend.cache.storage_form import plan_of
from tokenarium.backend.cache.storage_plan import StoragePlan


@dataclass(frozen=True)
class Kind:
    """A way for a token to stand to a cache."""

    slug: str
    title: str
    meaning: str


KINDS = (
    Kind("evicted", "evicted", "Dropped by then: no later token of this head can look at it."),
    Kind("kept", "kept", "Held; the policy had no need to choose yet, or does not look at scores."),
    Kind("sink", "sink", "Held as one of the first tokens, which the policy never drops."),
    Kind("heavy", "heavy hitter", "Held for its score: older than the window, and worth more."),
    Kind("recent", "recent", "Held as one of the newest tokens, which the policy protects."),
    Kind("selected", "selected", "Read at this step; what is held and not selected was left out."),
)
NUMBER = {kind.slug: number for number, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Protected:
    """What a policy never drops in one layer, and what decides about the rest."""

    first: int
    """First tokens of the text."""
    newest: int
    """Newest entries."""
    chooses: str
    """What decides: score, recency or chance."""
    plan: StoragePlan | None = None
    """How older entries are stored; None where they stay as they are."""
    form: str = ""
    """The same in words."""
    block: int = 1
    """Consecutive entries that are read together or not at all."""


def protected(policy: Policy, budget: int, layers: int, layer: int, prompt: int) -> Protected:
    """Return what ``policy`` protects in a layer.

    Args:
        policy: as asked for.
        budget: entries per head, averaged over the layers.
        layers: of the model.
        layer: which.
        prompt: tokens of the prompt.
    """
    form = ", ".join(form.short_title for form in policy.forms)
    plan = plan_of(policy, head_size=1)  # only numbers of entries are read of it
    if policy.label == "nothing":
        return Protected(0, 0, "chance", plan, form)
    fitted = policy.fitted(budget, layers, prompt)
    own = fitted.layer_budgets(budget, layers, prompt)[layer]
    first, newest = fitted.protects(own, layer, prompt)
    return Protected(first, newest, policy.chooses, plan, form, fitted.block_size())


def first_whole(run: PolicyRun, plan: StoragePlan, layer: int, head: int) -> NDArray[np.int32]:
    """Return [S] the position after every step of the oldest entry that is stored as it is.

    Those before it are stored as ``plan`` says. All are whole in layers with a window.
    """
    result, prompt = run.result, len(run.result.prompt_ids)
    gone = result.evicted_at[run.number, layer, head]
    newest = run.kept(0, layer, head).tolist()
    if result.windows is not None and result.windows[layer]:
        return np.zeros(run.steps, np.int32)
    newest = newest[plan.at_once(len(newest)) :]
    found = np.empty(run.steps, np.int32)
    for step in range(run.steps):
        if step:
            newest.append(prompt + step - 1)
            newest = newest[plan.at_once(len(newest)) if plan.together else 0 :]
            newest = [at for at in newest if not 0 <= gone[at] <= step]
        found[step] = newest[0] if newest else prompt + step
    return found


def kinds(run: PolicyRun, own: Protected, layer: int, head: int) -> NDArray[np.int8]:
    """Return [S, T+S] the number in ``KINDS`` of every token after every step; -1 if not read yet.

    Args:
        run: of one policy.
        own: what it protects in the layer.
        layer: which.
        head: KV head.
    """
    result = run.result
    steps, prompt = run.steps, len(result.prompt_ids)
    gone = result.evicted_at[run.number, layer, head, : prompt + steps]
    step, place = np.arange(steps)[:, None], np.arange(len(gone))
    read = (place < prompt + step) & (gone != NO_HEAD)
    dropped = (gone >= 0) & (gone <= step)
    kept = read & ~dropped
    chosen = np.array(dropped.any(1))
    found = np.where(read, NUMBER["kept"], -1).astype(np.int8)
    found[dropped & read] = NUMBER["evicted"]
    for row in range(steps):
        selected = run.selected(row, layer, head)
        if selected is not None:
            chosen[row] = True
            kept[row] &= np.isin(place, selected)
    rest = {"score": "heavy", "recency": "recent", "chance": "kept"}[own.chooses]
    if run.label == "select":
        rest = "selected"
    act = kept & chosen[:, None]
    found[act] = NUMBER[rest]
    found[act & (place >= prompt + step - own.newest)] = NUMBER["recent"]
    found[act & (place < own.first)] = NUMBER["sink"]
    return found
