"""The settings of a chosen budget as Python: for this library, and for kvpress."""

from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from tokenarium.backend.cache.kvpress_call import KVPressCall
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.runs.request import stored_form

if TYPE_CHECKING:
    from tokenarium.backend.benchmark.sweep.choice import ChosenBudget
    from tokenarium.backend.benchmark.sweep.request import SweepRequest
    from tokenarium.backend.benchmark.sweep.result import SweepResult

_TOKENS, _WIDTH = 64, 88


@dataclass(frozen=True)
class BudgetSettings:
    """Lines to copy; both take a ``model`` of transformers and the ``inputs`` of its tokenizer."""

    python: str
    """With ``tokenarium.apply``; empty where nothing is dropped."""
    kvpress: str
    """With the nearest press; empty where kvpress has none."""
    differs: tuple[str, ...] = ()
    """What the press does otherwise, in sentences."""


def budget_settings(
    request: "SweepRequest", result: "SweepResult", chosen: "ChosenBudget"
) -> BudgetSettings:
    """Return the settings of a policy at its chosen budget.

    Args:
        request: of the sweep.
        result: of the sweep.
        chosen: of ``result.choose``.
    """
    policy = request.tried[chosen.policy].policy
    if chosen.ratio is None or chosen.point is None or policy.label == "nothing":
        return BudgetSettings("", "")
    found = None
    if result.layers and result.context:
        budget = max(1, round(float(result.budget_tokens[chosen.point])))
        fitted = policy.fitted(budget, result.layers, result.context)
        found = fitted.kvpress(f"{1 - chosen.ratio:.6g}")
    differs = tuple(_differs(policy, found)) if found else ()
    return BudgetSettings(
        _python(policy, chosen.ratio, request.seed),
        _kvpress(found, differs) if found else "",
        differs,
    )


def _python(policy: Policy, ratio: float, seed: int) -> str:
    usual = stored_form(type(policy)())
    own = {name: value for name, value in stored_form(policy).items() if value != usual[name]}
    given = {"budget": ratio, "budget_unit": "ratio", **({"seed": seed} if seed else {}), **own}
    arguments = "".join(f", {name}={value!r}" for name, value in given.items())
    return (
        "import tokenarium\n\n"
        f"with tokenarium.apply({policy.slug!r}, model{arguments}) as cache:\n"
        f"    ids = model.generate(**inputs, max_new_tokens={_TOKENS})\n"
        "print(cache.cache_bytes)\n"
    )


def _kvpress(found: KVPressCall, differs: tuple[str, ...]) -> str:
    comments = (
        line
        for said in differs
        for line in wrap(said, _WIDTH, initial_indent="# ", subsequent_indent="#   ")
    )
    return (
        "".join(f"{line}\n" for line in comments)
        + f"from kvpress import {', '.join(found.imports)}\n\n"
        f"press = {found.call}\n"
        "with press(model):  # compression_ratio = 1 - budget\n"
        f"    ids = model.generate(**inputs, max_new_tokens={_TOKENS})\n"
    )


def _differs(policy: Policy, found: KVPressCall) -> list[str]:
    said = list(found.differs)
    if policy.when == "step":
        said.append(
            "kvpress drops once, after the prompt: the cache then grows by every new token, where "
            "this policy keeps to its budget."
        )
    if policy.reduction != "mean":
        said.append("It takes the mean over query heads that share a KV head.")
    if policy.positions != "original" and "KeyRerotationPress" not in found.imports:
        said.append("It leaves kept keys where they stood.")
    said.append("kvpress rounds the tokens kept down, this library to the nearest.")
    return said
