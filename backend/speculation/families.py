"""A map of the ways to get more than one token out of a pass, with what of each runs here.

Paper: Zhang et al., 2025, arXiv:2508.08712, a survey: draft and verify, several tokens at once, and
models that are not autoregressive. How drafts are divided further is ours.
"""

from dataclasses import dataclass

from tokenarium.backend.speculation.drafter import Drafter


@dataclass(frozen=True)
class Family:
    """One way to get several tokens out of a pass."""

    title: str
    explanation: str
    drafters: tuple[str, ...] = ()
    """Slugs of those that are live here."""
    elsewhere: str = ""
    """Well-known members that are not live here."""


FAMILIES = (
    Family(
        "Copy from texts",
        "Guesses are taken from the prompt, the output or earlier texts; a guess costs nothing.",
        ("prompt_lookup", "trie_lookahead", "ngram_store"),
        "REST's suffix array over a corpus",
    ),
    Family(
        "Remember what the target said",
        "Guesses come from the target's own distributions, also those after rejected guesses.",
        ("token_recycling", "aded", "jacobi"),
    ),
    Family(
        "A chain from a smaller model",
        "A second model writes ahead; a stop rule says how far.",
        ("draft_chain", "spec_dec_pp", "llmcad", "s2d"),
        "SpecDec++'s trained head",
    ),
    Family(
        "A tree from a smaller model",
        "Several guesses at a place, checked in one pass by attention to ancestors alone.",
        ("iid_tree", "gumbel_tree", "stochastic_beam", "dyspec", "topk_tree"),
        "Sequoia's tree, which the page computes from a run's acceptance",
    ),
    Family(
        "The target drafts with its own layers",
        "The first layers guess, all of them check.",
        ("early_exit", "del", "kangaroo"),
    ),
    Family(
        "Heads over the target's states",
        "A small trained part reads what the target computed anyway.",
        ("feature_head", "lookup_else", "eagle3", "mtp"),
        "Medusa, prompt tokens (PPD)",
    ),
    Family(
        "Several places at once, no draft",
        "A model is trained to fill several places in a pass; as a draft its guesses are checked.",
        ("dflash",),
        "masked diffusion (LLaDA, Dream), non-autoregressive translation",
    ),
)
"""Every live drafter stands in one of them."""


def families_table() -> str:
    """Return the map as a Markdown table."""
    rows = []
    for family in FAMILIES:
        live = [Drafter.registry.find(slug) for slug in family.drafters]
        named = ", ".join(f"{each.title} (`{each.slug}`)" for each in live)
        rows.append((family.title, family.explanation, named or "-", family.elsewhere or "-"))
    head = ("Family", "How", "Live here", "Not here")
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
