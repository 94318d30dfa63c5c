"""Products by oneDNN: which are made so, and that nothing of a layer stays changed."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from tokenarium.backend.observe import products


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Rows of every product that oneDNN is asked for; another library's numbers stand for it."""
    rows: list[int] = []

    def product(given: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows.append(given.numel() // given.shape[-1])
        return linear(given, weight, bias)

    monkeypatch.setattr(products, "_product", lambda: product)
    return rows


def test_few_rows_other_formats_and_gradients_are_left_to_torch(made: list[int]) -> None:
    small, wide = nn.Linear(6, 5), nn.Linear(6, products.MANY, bias=False)
    few, many = torch.ones(1, products.FEW - 1, 6), torch.ones(1, products.FEW, 6)
    with torch.no_grad():
        for part, given, by_onednn in (
            (small, few, False),
            (small, many, True),
            (wide, few, True),
            (nn.Linear(6, 5).to(torch.bfloat16), many.to(torch.bfloat16), False),
        ):
            forward = products._by_onednn(part)
            assert torch.equal(forward(given), linear(given, part.weight, part.bias))
            assert bool(made) == by_onednn
            made.clear()
    given = torch.ones(9, 6, requires_grad=True)
    products._by_onednn(wide)(given).sum().backward()
    assert given.grad is not None
    assert not made


def test_weights_are_those_of_the_moment(made: list[int]) -> None:
    part = nn.Linear(6, 5)
    with torch.no_grad(), products.replaced([part], [products._by_onednn(part)]):
        part.weight = nn.Parameter(torch.zeros(5, 6))
        part.bias = nn.Parameter(torch.full((5,), 3.0))
        assert part(torch.ones(8, 6)).eq(3).all()
    assert made == [8]


def test_what_is_replaced_twice_is_as_it_was_after_each() -> None:
    part, given = nn.Linear(6, 5), torch.ones(8, 6)
    expected = part(given)
    with products.replaced([part], [lambda _: torch.ones(1)]):
        with products.replaced([part], [lambda _: torch.zeros(1)]):
            assert part(given) == 0
        assert part(given) == 1
    assert torch.equal(part(given), expected)
    assert "forward" not in vars(part)
