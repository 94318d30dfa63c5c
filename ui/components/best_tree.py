"""The tree that would do best at the acceptance that a run measured."""

from dataclasses import dataclass

from tokenarium.backend import (
    SpeculateRequest,
    SpeculationResult,
    acceptance_vector,
    by_rank,
    expected_tokens,
    levels,
    optimal_tree,
)
from tokenarium.ui.why.number import number, source


@dataclass(frozen=True)
class BestTree:
    """What the calculator says of a run."""

    shape: tuple[int, ...]
    """Parents by node, the root's -1 first."""
    html: str
    """What it is, in words."""


def best_tree(result: SpeculationResult, asked: SpeculateRequest) -> BestTree | None:
    """Return the best tree of the run's budget and depth; None where nothing was measured."""
    shares = by_rank(levels(result))
    chances = acceptance_vector(shares)
    if not any(chances):
        return None
    shape = optimal_tree(chances, asked.tree_budget, asked.draft_len)
    below = [shape.count(node) for node in range(len(shape))]

    def of(shown: str, name: str, *at: int) -> str:
        return number(shown, source(name, *at))

    size = (asked.tree_budget, asked.draft_len)
    ranks = ", ".join(
        of(f"{chance:.0%}", "rank_chance", rank) for rank, chance in enumerate(chances[:8])
    )
    least = of(f"{min(share.count for share in shares)}", "rarest_rank")
    said = (
        f"At this run's chances of the draft's first, second, ... choice to stay ({ranks}; the "
        f"rarest counted {least} times), a tree of at most {asked.tree_budget} guesses, "
        f"{asked.draft_len} deep, does best with {of(f'{below[0]}', 'best_first', *size)} first "
        f"guesses and {of(f'{len(shape) - 1}', 'best_guesses', *size)} in all: "
        f"{of(f'{expected_tokens(shape, chances):.2f}', 'best_tokens', *size)} tokens a pass are "
        f"expected, {of(f'{result.tokens_per_target_call:.2f}', 'tokens_a_pass')} were measured "
        "with the tree of this run."
    )
    html = (
        f'<h2>Best tree for this acceptance</h2><p class="tk-sub">{said} '
        f"Chen et al., 2024, arXiv:2402.12374 (Sequoia).</p>"
    )
    return BestTree(shape, html)
