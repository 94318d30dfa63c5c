"""In which layers of a model a policy acts, in words."""

from collections.abc import Sequence

from tokenarium.backend.cache.policy import Policy


def acting_words(acting: int, layers: int) -> str:
    """Return in how many layers something acts; empty where it is all of them."""
    return "" if acting == layers else f"acts in {acting} of {layers} layers"


def where_it_acts(policy: Policy, budget: int, windows: Sequence[int | None], prompt: int) -> str:
    """Return in how many layers a policy acts and why not in the others; empty where in all.

    Args:
        policy: fitted to the run.
        budget: entries per head, averaged over the layers.
        windows: by layer the most keys a query sees by the model's design; None for all.
        prompt: tokens of the prompt.
    """
    if policy.label == "nothing":
        forms = policy.forms
        return where_it_acts(forms[0], budget, windows, prompt) if forms else ""
    acting = policy.acting_layers(budget, windows, prompt)
    others = [window for layer, window in enumerate(windows) if window and layer not in acting]
    if not others:
        return ""
    smallest = min(others)
    remedy = (
        f"a budget below {smallest - 1} would reduce them"
        if policy.acts_within(smallest, 0)
        else "it leaves them alone"
    )
    return (
        f"{acting_words(len(acting), len(windows))}: queries of the others see a window of "
        f"{smallest} tokens by the model's design, what leaves it is freed without loss, and "
        f"{remedy}"
    )


def refuse_nowhere(policy: Policy, budget: int, windows: Sequence[int | None], prompt: int) -> None:
    """Refuse a measurement of a policy that would change nothing.

    Raises:
        ValueError: if it acts in no layer.
    """
    if policy.label != "nothing" and not policy.acting_layers(budget, windows, prompt):
        words = where_it_acts(policy, budget, windows, prompt)
        raise ValueError(f"budget={budget} tokens per head: {policy.title} {words}")
