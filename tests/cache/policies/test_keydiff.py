"""KeyDiff against full matrices."""

import pytest
import torch
from torch import Tensor

from tests.cache.policies.key_twin import KeyTwin
from tests.cache.policies.twin import check_same, holding, kept_live, view
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.policies.keydiff import KeyDiff


def unlike_the_mean(keys: Tensor, held: Tensor) -> Tensor:
    unit = keys / keys.norm(dim=-1, keepdim=True)
    anchor = (unit * held[..., None]).sum(1) / held.sum(1, keepdim=True)
    return -(unit @ (anchor / anchor.norm(dim=-1, keepdim=True))[..., None])[..., 0]


def test_keydiff_keeps_the_same_keys_after_the_prompt_and_after_every_step(twins):
    loaded, model = twins("llama")
    live = list(kept_live(loaded, KeyDiff(), 9))
    assert live == list(KeyTwin(model, 9, unlike_the_mean).run())
    assert any(heads[0] != heads[1] for step in live for heads in step)


def test_keydiff_needs_two_entries() -> None:
    with pytest.raises(ValueError, match=r"budget=1 .* below the 2 that KeyDiff needs"):
        KeyDiff().refuse_below_smallest(1)
    KeyDiff().refuse_below_smallest(2)


def test_keydiff_drops_what_points_the_common_way():
    cache = holding(4, 2)
    keys = torch.tensor([[1.0, 0, 0, 0], [9.0, 0, 0, 0], [0, 0, 0.1, 0], [1.0, 1.0, 0, 0]])[None]
    cache.entries = Entries(keys, keys, torch.arange(4))
    # Unit keys x, x, z, (x + y) / sqrt 2: the anchor is along (2.71, 0.71, 1, 0).
    length = (2.7071**2 + 0.7071**2 + 1) ** 0.5
    expected = torch.tensor([2.7071, 2.7071, 1.0, (2.7071 + 0.7071) / 2**0.5]) / -length
    torch.testing.assert_close(
        KeyDiff().scores(view(cache, KeyDiff()))[0], expected, atol=1e-4, rtol=0
    )
    assert KeyDiff().kept(view(cache, KeyDiff()), 2).indices[0].tolist() == [2, 3]


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    check_same(kept_live(loaded, KeyDiff(), 9), KeyTwin(model, 9, unlike_the_mean).run())


def test_keydiff_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
