"""Attention over a tree against attention over each node's own path, key by key in float64."""

import pytest
import torch

from tests.pairwise import pairwise
from tokenarium.kernels.tree_attention import Ancestry, naive, tree_attention

D, DV = 8, 6
STAR = [-1, -1, -1, -1, -1]
CHAIN = list(range(-1, 6))
BUSHY = [-1, 0, 0, 1, -1, 4, 3, 3, 2, 6, 9]


def drawn(count, seed=0):
    """Parents of a random tree."""
    draw = torch.Generator().manual_seed(seed)
    chances = torch.rand(count, generator=draw).tolist()
    return [int(chance * (node + 1)) - 1 for node, chance in enumerate(chances)]


SHAPES = [  # query heads, key heads, newest nodes, text, parents
    (1, 1, 1, 0, [-1]),
    (4, 1, 3, 42, STAR),
    (4, 2, 7, 123, CHAIN),
    (6, 2, 11, 43, BUSHY),
    (6, 6, 4, 5, BUSHY),
    (4, 2, 70, 31, drawn(131)),
]
VARIANTS = [{}, {"softcap": 1.5}, {"window": 4}, {"sinks": True}]
VARIANTS += [{"sinks": True, "window": 6, "softcap": 1.0}, {"window": 1}]


def inputs(heads, groups, queries, text, parents, dtype=torch.float32, sizes=(D, DV)):
    draw = torch.Generator().manual_seed(heads + queries)
    held = text + len(parents)
    shapes = (heads, queries, sizes[0]), (groups, held, sizes[0]), (groups, held, sizes[1])
    return [torch.randn(shape, generator=draw).to(dtype) for shape in shapes]


def options(heads, variant):
    sinks = torch.linspace(-1, 2, heads) if variant.get("sinks") else None
    return variant | {"sinks": sinks, "scaling": 0.4}


@pytest.mark.parametrize(
    ("shape", "variant", "sizes"), pairwise(SHAPES, VARIANTS, [(D, DV), (D, D)])
)
def test_output_is_that_of_every_path(shape, variant, sizes):
    heads, parents = shape[0], shape[-1]
    given = inputs(*shape, sizes=sizes)
    expected = naive.tree_attention(*given, parents, **options(heads, variant))
    out = tree_attention(*given, Ancestry(parents), **options(heads, variant))
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
@pytest.mark.parametrize("variant", VARIANTS[:4], ids=lambda variant: "+".join(variant) or "plain")
def test_half_precision_is_rounded_once(shape, variant):
    heads, parents = shape[0], shape[-1]
    given = inputs(*shape, torch.bfloat16, (D, D))
    expected = naive.tree_attention(*given, parents, **options(heads, variant))
    out = tree_attention(*given, Ancestry(parents), **options(heads, variant))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.double(), expected, rtol=2e-2, atol=2e-2)


def test_a_node_sees_itself_where_a_block_of_keys_is_hidden():
    parents = range(-1, 699)
    given = inputs(2, 1, 40, 300, parents, sizes=(D, D))
    out = tree_attention(*given, Ancestry(parents), scaling=0.4, window=2)
    expected = naive.tree_attention(*given, parents, scaling=0.4, window=2)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-6)


def test_views_of_larger_buffers_are_taken():
    q, keys, values = inputs(4, 2, 11, 43, BUSHY)
    tree = Ancestry(BUSHY)
    whole = tree_attention(q, keys, values, tree, scaling=0.4)
    room = torch.full((2, 100, D), torch.nan)
    room[:, :54] = keys
    apart = q.transpose(0, 1).contiguous().transpose(0, 1)
    torch.testing.assert_close(
        tree_attention(apart, room[:, :54], values, tree, scaling=0.4), whole
    )


def test_ancestry_tells_depths_and_ancestors():
    tree = Ancestry([-1, 0, 0, 2, -1])
    assert tree.depths == [0, 1, 1, 2, 0]
    assert tree.bits == [0b1, 0b11, 0b101, 0b1101, 0b10000]


@pytest.mark.parametrize("parents", [[0], [-1, 1], [-1, -2], [-1, 3, 0]], ids=str)
def test_a_parent_after_its_child_is_refused(parents):
    with pytest.raises(ValueError, match="parents first"):
        Ancestry(parents)


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 2, D), (2, 9, D), (2, 9, DV)],
        [(4, 2, D), (2, 9, D + 1), (2, 9, DV)],
        [(4, 2, D), (2, 9, D), (2, 8, DV)],
        [(4, 4, D), (2, 9, D), (2, 9, DV)],
        [(4, 0, D), (2, 9, D), (2, 9, DV)],
        [(4, 2, D), (2, 2, D), (2, 2, DV)],
    ],
    ids=["heads", "size", "values", "more queries than nodes", "no query", "more nodes than keys"],
)
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match="do not fit"):
        tree_attention(*map(torch.zeros, shapes), Ancestry([-1, 0, 0]), scaling=1.0)


def test_sinks_and_windows_that_do_not_fit_are_refused():
    given, tree = inputs(4, 2, 3, 5, [-1, 0, 0]), Ancestry([-1, 0, 0])
    with pytest.raises(ValueError, match="do not fit"):
        tree_attention(*given, tree, scaling=1.0, sinks=torch.zeros(2))
    with pytest.raises(ValueError, match="window=0 is below 1"):
        tree_attention(*given, tree, scaling=1.0, window=0)
