"""Rows drawn at random: the floor of what any method must beat."""

from tokenarium.backend.tokenization.new_tokens.initialiser import Initialiser, NewTokens, Rows


class RandomRow(Initialiser):
    """Rows that say nothing about the token."""

    slug = "random_row"
    title = "Random"
    explanation = (
        "Draws each number of a row from a normal distribution with the mean and the spread that "
        "this column has over all old tokens."
    )
    paper = "A baseline of Sharthak et al., 2025, arXiv:2505.09738"

    def rows(self, new: NewTokens) -> Rows:
        """Return rows drawn with the seed; the same draw for both tables."""
        import torch

        draw = torch.Generator().manual_seed(new.seed)
        shape = (len(new.pieces), new.table_in.shape[1])
        noise = torch.randn(shape, generator=draw).to(new.table_in.device)
        first, second = (t.mean(0) + noise * t.std(0) for t in (new.table_in, new.table_out))
        return Rows(first, second)
