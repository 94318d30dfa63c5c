"""A head's file in eight bits: its numbers by hand, its error bound, and the same guesses."""

import pytest
import torch
from safetensors.torch import load_file

from tests.pretraining.conftest import head_of
from tokenarium.backend.pretraining.draft_head.eight_bits import in_eight_bits, restored
from tokenarium.backend.pretraining.draft_head.head import DraftHead, shrink


def test_a_matrix_by_hand_and_a_vector_as_it_is():
    row = [0.0, 127.0, -63.4, -1.0]
    small = {"w": torch.tensor([row, [x / 127 for x in row]]), "norm": torch.tensor([0.123, 5.0])}
    found = in_eight_bits(small)
    assert found["w"].dtype == torch.int8
    assert found["w"].tolist() == [[0, 127, -63, -1]] * 2
    assert found["w.scale"].float()[:, 0].tolist() == pytest.approx([1.0, 1 / 127], rel=1e-2)
    assert found["norm"] is small["norm"]
    back = restored(found)
    assert set(back) == {"w", "norm"}
    assert back["w"][0].tolist() == [0.0, 127.0, -63.0, -1.0]


def test_every_group_of_columns_has_its_own_scale_and_bound():
    torch.manual_seed(0)
    weights = torch.randn(5, 192) * torch.logspace(-4, 2, 3).repeat_interleave(64)
    weights[2, :64] = 0
    found = in_eight_bits({"w": weights})
    assert found["w.scale"].shape == (5, 3)
    scale = found["w.scale"].float().repeat_interleave(64, 1)
    # Half a step, and a scale's own rounding (8 bits of mantissa) at up to 127 steps.
    assert ((restored(found)["w"] - weights).abs() <= scale * (0.5 + 127 / 256)).all()
    assert restored(found)["w"][2, :64].abs().max() == 0


def test_a_shrunk_head_is_half_as_large_and_guesses_the_same(target, tmp_path):
    head, ids = head_of(target), torch.arange(12)
    head.save(tmp_path / "large", ids, target.embedding, {"tokens": 5})
    (tmp_path / "large" / "MODEL_CARD.md").write_text("card")
    shrink(tmp_path / "large", tmp_path / "small")
    assert (tmp_path / "small" / "MODEL_CARD.md").read_text() == "card"
    large, small = (load_file(tmp_path / name / "head.safetensors") for name in ("large", "small"))
    sizes = [sum(x.nbytes for n, x in f.items() if ".weight" in n) for f in (large, small)]
    assert sizes[1] < 0.6 * sizes[0]
    torch.testing.assert_close(small["target_rows"], large["target_rows"])

    found, vocabulary = DraftHead.load(tmp_path / "small")
    assert vocabulary.tolist() == ids.tolist()
    states = torch.randn(1, 6, target.width)
    embedded = torch.randn(1, 6, target.width)
    with torch.no_grad():
        there, here = (
            next(iter(one.unroll(states, embedded, 1))) for one in (head.eval(), found.eval())
        )
    assert (there - here).abs().max() < 0.05 * there.abs().max()
    with pytest.raises(FileExistsError):
        shrink(tmp_path / "large", tmp_path / "small")
