"""The documents' table of policies, which ``docs/generate.py`` writes."""

from tokenarium.backend.cache.policy import Policy

WHEN = {"never": "-", "prefill": "after the prompt", "step": "while decoding too"}
SCOPE = {"head": "each KV head", "layer": "a layer", "model": "all layers"}


def methods_table() -> str:
    """Return every registered policy as a Markdown table, from its own declaration."""
    head = (
        "| Policy | Name | Really | Chooses | One set for | Keeps | Source |",
        "|---|---|---|---|---|---|---|",
    )
    return "\n".join((*head, *map(_row, Policy.registry.all())))


def _row(policy: type[Policy]) -> str:
    variant = "" if policy.differs == "no" else " (variant)"
    cells = (
        policy.title + variant,
        f"`{policy.slug}`",
        policy.label,
        WHEN[policy.when],
        SCOPE[policy.scope],
        policy.explanation,
        policy.paper,
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
