"""The gradient of the target's log probability by the embeddings of the text."""

import torch
from torch import Tensor

from tokenarium.backend.attribution.game import Game
from tokenarium.backend.cost.fits import refuse_unless_free
from tokenarium.backend.cost.work import Sizes
from tokenarium.backend.models import capabilities


def gradient(game: Game, embedded: Tensor) -> tuple[Tensor, Tensor]:
    """Return v [B] and its gradient [B, P, D] at other embeddings of the text.

    Args:
        game: the text.
        embedded: [B, P, D].
    Raises: ValueError where what autograd keeps does not fit into memory, or the model does not
        read a text from its embeddings.
    """
    loaded = game.loaded
    capabilities.refuse_unless_embedded(loaded)
    _refuse_unless_fits(game, embedded.shape[0] * embedded.shape[1])
    with torch.inference_mode(False), torch.enable_grad():
        at = embedded.detach().clone().requires_grad_(True)
        states = loaded.body(inputs_embeds=at, use_cache=False).last_hidden_state
        value = game.target.log_probability(loaded.unembed(states[:, -1]).float())
        (found,) = torch.autograd.grad(value.sum(), at)
    game.reader.passes += embedded.shape[0]
    game.reader.token_steps += embedded.shape[0] * embedded.shape[1]
    return value.detach(), found.detach()


def _refuse_unless_fits(game: Game, tokens: int) -> None:
    loaded = game.loaded
    sizes = Sizes.of(loaded.model.config)
    # Inputs and outputs of each layer's norms, projections, gates and attention.
    inside = 12 * sizes.hidden + 5 * sizes.inner + 6 * sizes.heads * sizes.head_size
    refuse_unless_free(
        loaded.device,
        4 * tokens * sizes.layers * inside,
        f"gradients of {tokens} tokens with {loaded.name}",
        "the model",
        ("take a shorter text", "choose method=occlusion, which needs none"),
    )
