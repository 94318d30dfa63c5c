"""Pieces weighted by what they mean, and old tokens that mean the same: TokenAdapt."""

from pydantic import Field

from tokenarium.backend.tokenization.new_tokens.initialiser import Initialiser, NewTokens, Rows


class TokenAdapt(Initialiser):
    """A local estimate from the pieces and a global one from similar tokens, mixed."""

    slug = "token_adapt"
    title = "TokenAdapt"
    explanation = (
        "Mixes the rows of the pieces, weighted by likeness to the whole word and by length, with "
        "the rows of the old tokens that are most like it."
    )
    paper = "Sharthak et al., 2025, arXiv:2505.09738"
    differs = (
        "no text-embedding model is at hand: a text's embedding is the mean of the model's own "
        "last states; similar tokens are sought among the nearest rows only; the length of a piece "
        "multiplies its weight"
    )

    share: float = Field(
        0.3, ge=0, le=1, title="Share of similar tokens", description="The rest is of the pieces."
    )
    similar: int = Field(
        3, ge=1, le=16, title="Similar tokens", description="How many old tokens are mixed."
    )
    temperature: float = Field(
        0.3, gt=0, le=10, description="Of the softmax over cosines: low takes the most alike only."
    )
    candidates: int = Field(
        64,
        ge=16,
        le=512,
        description="Old tokens with rows nearest to the pieces' mean: of these "
        "the most alike are taken.",
    )

    def rows(self, new: NewTokens) -> Rows:
        """Return the mixed rows, of both tables with the same weights."""
        import torch
        from torch.nn.functional import normalize

        table = normalize(new.table_in, dim=1)
        found_in: list[torch.Tensor] = []
        found_out: list[torch.Tensor] = []
        near: list[tuple[int, ...]] = []
        for pieces, lengths in zip(new.pieces, new.lengths, strict=True):
            chosen = list(pieces)
            centre = normalize(new.table_in[chosen].mean(0), dim=0)
            others = (table @ centre).topk(min(self.candidates, len(table))).indices.tolist()
            states = normalize(new.embed([pieces, *([k] for k in chosen + others)]), dim=1)
            alike = states[1:] @ states[0]
            of_pieces = alike[: len(chosen)].div(self.temperature).softmax(0)
            of_pieces = of_pieces * torch.tensor(lengths, device=of_pieces.device)
            of_pieces = of_pieces / of_pieces.sum()
            best = alike[len(chosen) :].topk(min(self.similar, len(others)))
            of_similar = best.values.div(self.temperature).softmax(0)
            similar = [others[place] for place in best.indices.tolist()]
            for rows, found in ((new.table_in, found_in), (new.table_out, found_out)):
                local, wide = of_pieces @ rows[chosen], of_similar @ rows[similar]
                found.append((1 - self.share) * local + self.share * wide)
            near.append(tuple(similar))
        return Rows(torch.stack(found_in), torch.stack(found_out), tuple(near))
