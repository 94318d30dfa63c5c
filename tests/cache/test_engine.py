"""The engine against transformers' own eager attention, and against itself."""

import gc
import weakref

import pytest
import torch

from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.entries import LEAST_ROOM, ROOM_SHARE
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.runs.events import Cancelled

FAMILIES = ["llama", "gpt2", "qwen3", "mistral", "gemma2", "gpt_oss", "gpt_neox", "opt"]


def some_ids(count: int, seed: int = 0) -> list[int]:
    return torch.randint(2, 258, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def start(loaded, slug: str, budget: int, **rest) -> CachedSequence:
    parameters = rest.pop("parameters", {})
    return CachedSequence(loaded, Policy.registry.find(slug)(**parameters), budget, **rest)


def greedy(
    sequence: CachedSequence, prompt: list[int], steps: int
) -> tuple[list[int], torch.Tensor]:
    logits = [sequence.read(prompt)]
    ids: list[int] = []
    for _ in range(steps):
        ids.append(int(logits[-1].argmax()))
        logits.append(sequence.read([ids[-1]]))
    return ids, torch.stack(logits)


def recomputed(oracle, prompt: list[int], steps: int) -> tuple[list[int], torch.Tensor]:
    """Greedy decoding with no cache: every step reads the whole text again."""
    ids, found = list(prompt), []
    with torch.inference_mode():
        for _ in range(steps + 1):
            found.append(oracle(torch.tensor([ids]), use_cache=False).logits[0, -1])
            ids.append(int(found[-1].argmax()))
    return ids[len(prompt) : -1], torch.stack(found)


def positions(sequence: CachedSequence, layer: int, g: int) -> list[int]:
    return sequence.layers[layer].entries.head("positions", g).tolist()


@pytest.mark.parametrize("length", [1, 2, 40])
@pytest.mark.parametrize("family", FAMILIES)
def test_full_cache_is_recomputation(twins, family: str, length: int) -> None:
    loaded, oracle = twins(family)
    prompt = some_ids(length)
    ids, logits = greedy(start(loaded, "full", 1), prompt, 24)
    again, expected = recomputed(oracle, prompt, 24)
    assert ids == again
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_a_second_turn_of_several_tokens_is_read_as_one_text(twins) -> None:
    for family in ("llama", "mistral", "gpt2"):
        loaded, oracle = twins(family)
        first, second = some_ids(30), some_ids(7, 1)
        sequence = start(loaded, "full", 1)
        sequence.read(first)
        each = sequence.read_each(second)
        with torch.inference_mode():
            expected = oracle(torch.tensor([first + second]), use_cache=False).logits[0, 30:]
        scale = float(expected.abs().max())
        torch.testing.assert_close(each, expected, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("family", ["mistral", "gemma2", "gpt_oss"])
def test_layers_with_a_window_free_what_no_query_sees_then_what_is_over_budget(
    twins, family
) -> None:
    loaded, _ = twins(family)
    plain, freeing = (
        start(loaded, "full", 1, free_windows=False),
        start(loaded, "streaming_llm", 1000),
    )
    prompt = some_ids(40)
    _, logits = greedy(plain, prompt, 12)
    _, same = greedy(freeing, prompt, 12)
    torch.testing.assert_close(same, logits, rtol=1e-5, atol=1e-5 * float(logits.abs().max()))
    window = loaded.model.config.sliding_window
    alone = freeing.windowed_layers
    assert alone == {"mistral": (0, 1, 2), "gemma2": (0, 2), "gpt_oss": (0, 2)}[family]
    for layer in range(3):
        held = positions(freeing, layer, 1)
        assert held == list(range(52 - (window - 1) if layer in alone else 0, 52))
    evicting = start(loaded, "streaming_llm", 9)
    greedy(evicting, prompt, 3)
    for layer in range(3):
        held = positions(evicting, layer, 0)
        assert len(held) == 9
        assert min(held) >= (43 - (window - 1) if layer in alone else 0)


def test_learned_positions_cannot_be_rolled(twins) -> None:
    loaded, _ = twins("gpt2")
    with pytest.raises(ValueError, match="does not place its tokens by rotation"):
        start(loaded, "streaming_llm", 8)
    start(loaded, "streaming_llm", 8, parameters={"positions": "original"}).read(some_ids(20))


@pytest.mark.parametrize("slug", ["streaming_llm", "h2o", "recent", "random"])
def test_a_budget_that_holds_everything_is_the_full_cache(twins, slug: str) -> None:
    loaded, _ = twins("llama")
    ids, logits = greedy(start(loaded, "full", 1), some_ids(33), 10)
    other = start(loaded, slug, 43)
    same, found = greedy(other, some_ids(33), 10)
    assert ids == same
    torch.testing.assert_close(found, logits, rtol=0, atol=0)
    assert other.dropped == []


def test_streaming_llm_keeps_the_first_tokens_and_the_newest(twins) -> None:
    loaded, _ = twins("llama")
    sequence = start(loaded, "streaming_llm", 12, parameters={"sink": 3})
    ids, _ = greedy(sequence, some_ids(30), 5)
    assert len(ids) == 5
    for layer in range(3):
        for g in range(2):
            assert positions(sequence, layer, g) == [0, 1, 2, *range(26, 35)]
    first = [drop for drop in sequence.dropped if drop.step == 0]
    assert [drop.layer for drop in first] == [0, 1, 2]
    assert first[1].positions[1].tolist() == list(range(3, 21))
    assert sequence.dropped[-1].positions[0].tolist() == [25]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_h2o_sums_are_those_of_eager_attention(twins, family: str) -> None:
    """With room for everything the sums run over all queries of prompt and continuation."""
    loaded, oracle = twins(family)
    prompt = some_ids(25)
    sequence = start(loaded, "h2o", 1000)
    ids, _ = greedy(sequence, prompt, 6)
    with torch.inference_mode():
        out = oracle(torch.tensor([prompt + ids]), output_attentions=True, use_cache=False)
    for held, weights in zip(sequence.layers, out.attentions, strict=True):
        expected = held.per_kv_head(weights[0].sum(1))
        torch.testing.assert_close(held.entries.rows("mass"), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("reduction", "join"),
    [("mean", torch.mean), ("sum", torch.sum), ("max", torch.amax)],
)
def test_query_heads_are_joined_as_asked(twins, reduction: str, join) -> None:
    loaded, oracle = twins("llama")
    sequence = start(loaded, "h2o", 1000, parameters={"reduction": reduction})
    sequence.read(some_ids(20))
    with torch.inference_mode():
        attentions = oracle(torch.tensor([some_ids(20)]), output_attentions=True).attentions
    expected = join(attentions[1][0].sum(1).view(2, 2, -1), dim=1)
    mass = sequence.layers[1].entries.rows("mass")
    torch.testing.assert_close(mass, expected, rtol=1e-5, atol=1e-5)


def test_rolled_positions_on_one_layer_are_a_fresh_run_on_the_kept_tokens(one_layer) -> None:
    loaded, oracle = one_layer
    prompt = some_ids(40)
    for slug, parameters in (("streaming_llm", {"sink": 4}), ("h2o", {"positions": "rolled"})):
        sequence = start(loaded, slug, 16, parameters=parameters)
        sequence.read(prompt)
        text = list(prompt)
        for step in range(30):
            token = some_ids(1, step)[0]
            # What the new token sees: one set for each KV head, joined with the token itself.
            held = [positions(sequence, 0, g) for g in range(2)]
            logits = sequence.read([token])
            text.append(token)
            if held[0] != held[1]:
                continue
            kept = [text[p] for p in held[0]] + [token]
            with torch.inference_mode():
                expected = oracle(torch.tensor([kept]), use_cache=False).logits[0, -1]
            scale = float(expected.abs().max())
            torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5 * scale)


def test_original_positions_on_one_layer_are_a_masked_run(one_layer) -> None:
    loaded, oracle = one_layer
    prompt = some_ids(40)
    sequence = start(loaded, "recent", 11)
    sequence.read(prompt)
    logits = sequence.read([77])
    mask = torch.zeros(1, 1, 41, 41).masked_fill(torch.ones(41, 41).triu(1).bool(), -1e30)
    mask[0, 0, 40, :29] = -1e30
    with torch.inference_mode():
        expected = oracle(torch.tensor([[*prompt, 77]]), attention_mask=mask, use_cache=False)
    scale = float(expected.logits.abs().max())
    torch.testing.assert_close(logits, expected.logits[0, -1], rtol=1e-4, atol=1e-5 * scale)


def test_rolling_a_half_precision_key_rounds_it_once(one_layer) -> None:
    from tokenarium.backend.cache.entries import Entries
    from tokenarium.backend.cache.rerotation import Rerotation

    loaded, _ = one_layer
    placing = Rerotation.of(loaded, "rolled")
    keys = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1)).bfloat16()
    entries = Entries(keys, keys, torch.arange(6))
    for newest in range(6, 400):
        placing.settle(entries, 0, newest)
    rotary = placing.rotary[0]
    assert rotary is not None
    expected = rotary.turned(keys, torch.full((6,), 394)).bfloat16()
    assert torch.equal(entries.rows("keys"), expected)


@pytest.mark.parametrize("slug", ["random", "h2o"])
def test_the_same_seed_is_the_same_run(twins, slug: str) -> None:
    loaded, _ = twins("llama")
    runs = [greedy(start(loaded, slug, 10, seed=seed), some_ids(30), 8) for seed in (3, 3, 4)]
    assert runs[0][0] == runs[1][0]
    torch.testing.assert_close(runs[0][1], runs[1][1], rtol=0, atol=0)
    different = not torch.equal(runs[0][1], runs[2][1])
    assert different == (slug == "random")


@pytest.mark.parametrize("slug", ["streaming_llm", "h2o", "recent", "random"])
def test_bytes_are_those_of_the_entries_held(twins, slug: str) -> None:
    loaded, _ = twins("llama")
    full, small = start(loaded, "full", 1), start(loaded, slug, 64)
    full.read(some_ids(512))
    small.read(some_ids(512))
    own = sum(
        buffer.untyped_storage().nbytes()
        for held in small.layers
        for name, buffer in held.entries.buffers.items()
        if name not in ("keys", "values", "positions")
    )
    rows = 64 + max(LEAST_ROOM, 64 // ROOM_SHARE)
    assert small.cache_bytes - own == 3 * 2 * rows * (8 * 4 * 2 + 4)
    assert full.cache_bytes == 3 * 2 * (512 + 16) * (8 * 4 * 2 + 4)
    assert small.cache_bytes < 0.2 * full.cache_bytes


def test_the_prompt_is_reduced_layer_by_layer(twins) -> None:
    """While a layer is read, the layers before it hold their budget, not the prompt."""
    loaded, _ = twins("llama")
    seen = []

    def look() -> None:
        seen.append([max(held.entries.counts) for held in sequence.layers])

    sequence = start(loaded, "h2o", 20, check=look)
    sequence.read(some_ids(200))
    assert seen == [[], [20], [20, 20]]
    assert all(held.queries is None for held in sequence.layers)


def test_a_budget_below_the_smallest_is_refused(twins) -> None:
    loaded, _ = twins("llama")
    start(loaded, "streaming_llm", 5)
    with pytest.raises(ValueError, match=r"budget=4 tokens per head is below the 5 .* at least 5"):
        start(loaded, "streaming_llm", 4)


def test_cancelled_in_the_middle_it_frees_its_memory(twins) -> None:
    loaded, _ = twins("llama")
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 5:
            raise Cancelled("enough")

    sequence = start(loaded, "h2o", 20, check=stop)
    sequence.read(some_ids(100))
    gone = [weakref.ref(held.entries.buffers["keys"]) for held in sequence.layers]
    gc.disable()
    try:
        with pytest.raises(Cancelled):
            sequence.read([5])
        assert len(calls) == 5
        del sequence
        assert [ref() for ref in gone] == [None] * 3
    finally:
        gc.enable()


def test_scores_are_told_where_asked_for(twins) -> None:
    loaded, _ = twins("llama")
    sequence = start(loaded, "h2o", 20)
    sequence.keep_scores = True
    sequence.read(some_ids(50))
    drop = sequence.dropped[1]
    assert drop.scores is not None
    assert drop.among is not None
    assert drop.scores.shape == drop.among.shape == (2, 50)
    for g in range(2):
        kept = [p for p in range(40) if p not in drop.positions[g].tolist()]
        gone = [p for p in drop.positions[g].tolist() if p < 40]
        assert drop.scores[g, kept].min() >= drop.scores[g, gone].max()
    silent = start(loaded, "h2o", 20)
    silent.read(some_ids(50))
    assert silent.dropped[0].scores is None
