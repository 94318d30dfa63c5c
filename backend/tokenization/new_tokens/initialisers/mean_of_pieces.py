"""The mean of the rows of the old tokens."""

from tokenarium.backend.tokenization.new_tokens.initialiser import Initialiser, NewTokens, Rows


class MeanOfPieces(Initialiser):
    """What most who add tokens begin with."""

    slug = "mean_of_pieces"
    title = "Mean of pieces"
    explanation = "Takes the mean of the rows of the old tokens that spell the new one."
    paper = "A baseline of Sharthak et al., 2025, arXiv:2505.09738"

    def rows(self, new: NewTokens) -> Rows:
        """Return the means, of both tables."""
        import torch

        first, second = (
            torch.stack([table[list(pieces)].mean(0) for pieces in new.pieces])
            for table in (new.table_in, new.table_out)
        )
        return Rows(first, second)
