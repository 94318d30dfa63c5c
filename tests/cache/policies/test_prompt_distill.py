"""PromptDistill against a Llama taken through its layers by hand, and what models it refuses."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from tests.cache.policies.selecting import highest
from tests.cache.policies.twin import holding, view
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policies.prompt_distill import PromptDistill
from tokenarium.backend.models import capabilities

PROMPT, BUDGET = 41, 9
TOKENS = torch.randint(10, 200, (PROMPT + 6,), generator=torch.Generator().manual_seed(8)).tolist()


@dataclass
class Twin:
    """Prompt and continuation in one pass, no cache: rows are taken out of the states by hand."""

    model: PreTrainedModel
    layer: int
    kernel: int = 1
    truncate: bool = True

    @torch.inference_mode()
    def run(self) -> tuple[list[int], Tensor]:
        """Return the prompt's positions that go on, and the logits from its last token on."""
        inner = self.model.model
        at = torch.arange(len(TOKENS))
        hidden = inner.embed_tokens(torch.tensor([TOKENS]))
        for number, layer in enumerate(inner.layers):
            turns = inner.rotary_emb(hidden, at[None])
            if number == self.layer:
                going = self.choose(layer, hidden, turns)
            hidden = layer(hidden, attention_mask=self.mask(number, at), position_embeddings=turns)
            if number == self.layer:
                rows = torch.tensor([*going, *range(PROMPT, len(TOKENS))])
                # What the mask of the layers before must hide is known only now: read them again.
                if self.truncate and not hasattr(self, "going"):
                    self.going = set(going)
                    return self.run()
                at, hidden = at[rows], hidden[:, rows]
        steps = len(TOKENS) - PROMPT + 1
        return going, self.model.lm_head(inner.norm(hidden))[0, -steps:]

    def mask(self, number: int, at: Tensor) -> Tensor:
        """Causal; up to the choosing layer the continuation sees what was kept, if truncated."""
        hidden = at[:, None] < at
        if number <= self.layer:
            gone = [p not in getattr(self, "going", range(PROMPT)) for p in range(PROMPT)]
            hidden[PROMPT:, :PROMPT] |= torch.tensor(gone)
        return torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)[None, None]

    def choose(self, layer: torch.nn.Module, hidden: Tensor, turns: tuple[Tensor, Tensor]):
        """The last prompt token's logits in this layer, averaged over all heads."""
        normed, own = layer.input_layernorm(hidden), layer.self_attn
        q, k = (
            project(normed)[0].unflatten(1, (-1, own.head_dim)).transpose(0, 1)[None]
            for project in (own.q_proj, own.k_proj)
        )
        q, k = (turned[0].double() for turned in apply_rotary_pos_emb(q, k, *turns))
        k = k.repeat_interleave(len(q) // len(k), 0)
        logits = (k[:, :PROMPT] @ q[:, PROMPT - 1, :, None])[..., 0].mean(0) * own.scaling
        reach = self.kernel // 2
        near = [logits[max(0, i - reach) : i + reach + 1].mean() for i in range(PROMPT)]
        return highest(torch.stack(near), BUDGET, {PROMPT - 1})


def read(sequence: CachedSequence) -> Tensor:
    """The logits after the prompt and after every step."""
    found = [sequence.read(TOKENS[:PROMPT])]
    return torch.stack(found + [sequence.read([token]) for token in TOKENS[PROMPT:]])


def positions(sequence: CachedSequence) -> list[list[list[int]]]:
    return [
        [cache.entries.head("positions", g).tolist() for g in range(cache.entries.groups)]
        for cache in sequence.layers
    ]


@pytest.mark.parametrize("layer", [0, 2, 5])
@pytest.mark.parametrize(("kernel", "truncate"), [(1, True), (5, True), (1, False)])
def test_later_layers_go_on_with_what_the_last_token_looks_at(deep, layer, kernel, truncate):
    loaded, model = deep
    going, expected = Twin(model, layer, kernel, truncate).run()
    policy = PromptDistill(layer=layer, kernel=kernel, truncate=truncate)
    sequence = CachedSequence(loaded, policy, BUDGET)
    logits = read(sequence)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    new = list(range(PROMPT, len(TOKENS)))
    first = [*(going if truncate else range(PROMPT)), *new]
    assert positions(sequence) == [[first] * 2] * (layer + 1) + [[[*going, *new]] * 2] * (5 - layer)


def test_what_later_layers_never_saw_counts_as_dropped(deep):
    loaded, _ = deep
    sequence = CachedSequence(loaded, PromptDistill(layer=2), BUDGET)
    sequence.keep_scores = True
    read(sequence)
    held = positions(sequence)[0][0]
    gone = [p for p in range(PROMPT) if p not in held]
    by_layer = {drop.layer: drop for drop in sequence.dropped}
    assert len(sequence.dropped) == 6
    assert {drop.step for drop in sequence.dropped} == {0}
    for layer in range(6):
        assert [own.tolist() for own in by_layer[layer].positions] == [gone] * 2
    assert by_layer[0].scores.shape == (2, PROMPT)


def test_later_layers_compute_fewer_states(deep):
    loaded, _ = deep
    rows = []
    hooks = [
        layer.mlp.register_forward_hook(lambda _, given, __: rows.append(given[0].shape[1]))
        for layer in loaded.layers
    ]
    sequence = CachedSequence(loaded, PromptDistill(layer=1), BUDGET)
    rows.clear()  # the trial reading is over
    each = sequence.read_each(TOKENS[:PROMPT])
    for hook in hooks:
        hook.remove()
    assert [p for p in range(PROMPT) if not each[p].isnan().all()] == positions(sequence)[0][0]
    assert rows == [PROMPT] * 2 + [BUDGET] * 4
    assert all(not layer._forward_pre_hooks for layer in loaded.layers)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "qwen3", "cohere", "granite"])
def test_states_go_on_at_their_own_positions(twins, family):
    """Keys of the layer after the choice depend on nothing but a token's state and position."""
    loaded, _ = twins(family)
    full, other = (
        CachedSequence(loaded, Full(), 1),
        CachedSequence(loaded, PromptDistill(layer=1), BUDGET),
    )
    for sequence in (full, other):
        sequence.read(TOKENS[:PROMPT])
    for g, held in enumerate(positions(other)[2]):
        assert len(held) == BUDGET
        expected = full.layers[2].entries.head("keys", g)[held]
        torch.testing.assert_close(other.layers[2].entries.head("keys", g), expected)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_budget_that_holds_the_prompt_is_the_full_cache(twins, family):
    loaded, _ = twins(family)
    other = CachedSequence(loaded, PromptDistill(), PROMPT)
    torch.testing.assert_close(read(other), read(CachedSequence(loaded, Full(), 1)), rtol=0, atol=0)
    assert other.dropped == []


def test_choice_by_hand():
    cache = holding(4, 2)
    keys = torch.tensor([1.0, 6, 2, 0])
    cache.entries.buffers["keys"][:4, 0] = keys
    cache.queries = torch.tensor([[[9.0, 9, 9, 9], [1, 0, 0, 0]], [[9.0, 9, 9, 9], [2, 0, 0, 0]]])
    cache.scaling = 0.5
    scores = PromptDistill(kernel=3).scores(view(cache, PromptDistill(kernel=3)))[0]
    # Means over heads: 0.75, 4.5, 1.5, 0; then over neighbours.
    torch.testing.assert_close(scores, torch.tensor([2.625, 2.25, 2.0, 0.75]))
    policy = PromptDistill(layer=0, kernel=3).fitted(2, 1, 512)
    policy.observe_prompt(view(cache, policy), None)
    assert policy.prompt_kept(view(cache, policy)).tolist() == [0, 3]


@pytest.mark.parametrize(("layers", "layer"), [(1, 0), (2, 0), (3, 1), (8, 3), (12, 5), (32, 13)])
def test_layer_follows_the_depth(layers, layer):
    assert PromptDistill().fitted(64, layers, 512).layer == layer


def test_a_layer_the_model_does_not_have_is_refused():
    with pytest.raises(ValueError, match="layer=13 is no layer of a model of 8: choose at most 7"):
        PromptDistill(layer=13).fitted(64, 8, 512)


@pytest.mark.parametrize("family", ["mistral", "gemma2", "gpt_oss"])
def test_models_with_windows_are_refused(twins, family):
    loaded, _ = twins(family)
    with pytest.raises(ValueError, match="layers that see a window"):
        CachedSequence(loaded, PromptDistill(), BUDGET)


@pytest.mark.parametrize(
    ("rows", "reason"), [(slice(None), "layers refuse it"), (slice(4), "mix tokens up")]
)
def test_layers_that_take_positions_from_elsewhere_are_refused(deep, rows, reason, monkeypatch):
    """As if a model handed positions to attention beside the arguments of its layers."""
    loaded, _ = deep
    monkeypatch.setattr(capabilities, "_known", {})
    first = []

    def keep(_, __, kwargs):
        first[:] = kwargs["position_embeddings"]

    def replace(_, args, kwargs):
        narrowed = kwargs["hidden_states"].shape[1] < first[0].shape[1]
        own = [part[:, rows] for part in first] if narrowed else first
        return args, kwargs | {"position_embeddings": own}

    hooks = [
        loaded.layers[0].self_attn.register_forward_pre_hook(keep, with_kwargs=True),
        loaded.layers[3].self_attn.register_forward_pre_hook(replace, with_kwargs=True),
    ]
    try:
        with pytest.raises(ValueError, match=reason):
            CachedSequence(loaded, PromptDistill(), BUDGET)
    finally:
        for hook in hooks:
            hook.remove()
    monkeypatch.setattr(capabilities, "_known", {})
    CachedSequence(loaded, PromptDistill(), BUDGET)


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    going, _ = Twin(model, 1).run()
    sequence = CachedSequence(loaded, PromptDistill(layer=1), BUDGET)
    sequence.read(TOKENS[:PROMPT])
    assert positions(sequence) == [[going] * 2] * 3


def test_prompt_distill_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
