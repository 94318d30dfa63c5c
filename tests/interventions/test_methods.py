"""Every method against full matrices edited by hand, in transformers' own modules."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from tests.interventions import oracle
from tokenarium.backend.interventions.request import InterventionRequest
from tokenarium.backend.interventions.result import InterventionResult
from tokenarium.backend.interventions.runner import intervene
from tokenarium.backend.observe import reading
from tokenarium.backend.runs.events import CancelToken

LENGTH = 50
CLOSE = {"rtol": 2e-4, "atol": 2e-5}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Rows come in several blocks, the last one short."""
    monkeypatch.setattr(reading, "HELD_WEIGHTS", 1)


def run(loaded: Any, said: str, method: str, /, **parameters: Any) -> InterventionResult:
    request = InterventionRequest(
        model="tiny", text=said, add_bos=False, intervention=method, parameters=parameters
    )
    return intervene(request, loaded, 2048, lambda _: None, CancelToken())


def check(
    result: InterventionResult, twin: Any, edit: oracle.Edit, ids: list[int] | None = None
) -> None:
    """Compare every array of ``result`` with full matrices changed by ``edit``."""
    plain = oracle.run(twin, result.token_ids.tolist())
    changed = oracle.run(twin, ids or result.token_ids.tolist(), edit)
    at = result.aligned
    p, q = plain.log_p[at], changed.log_p
    pairs = {
        "surprisal_nats": plain.surprisal,
        "entropy_nats": plain.entropy,
        "received_mass": plain.received,
        "sink_score": plain.received[..., 0],
        "changed_surprisal_nats": changed.surprisal,
        "changed_entropy_nats": changed.entropy,
        "changed_received_mass": changed.received,
        "changed_sink_score": changed.received[..., 0],
        "taken_mass": changed.taken,
        "kl_nats": (np.exp(p) * (p - q)).sum(-1),
    }
    for name, expected in pairs.items():
        np.testing.assert_allclose(getattr(result, name), expected, **CLOSE, err_msg=name)
    for name, received in (("", plain.received), ("changed_", changed.received)):
        enough = received[..., : max(1, received.shape[-1] - 15)]
        found = getattr(result, f"{name}sink_position")
        best = np.take_along_axis(enough, found[..., None], -1)[..., 0]
        np.testing.assert_allclose(best, enough.max(-1), rtol=1e-4)


def only(layer: int, edit: oracle.Edit) -> oracle.Edit:
    return lambda module, w, q, k: edit(module, w, q, k) if module.layer_idx == layer else w


def own_ids(loaded: Any, text: str) -> list[int]:
    return loaded.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_oss"])
def test_drop_first_reads_the_rest_alone(twins, letters, family):
    loaded, twin = twins(family)
    result = run(loaded, letters(LENGTH), "drop_first")
    ids = own_ids(loaded, letters(LENGTH))
    assert result.changed_ids.tolist() == ids[1:]
    assert result.changed_text == result.token_text[1:]
    assert result.aligned.tolist() == list(range(1, LENGTH))
    assert not result.touched.any()
    check(result, twin, oracle.plain, ids[1:])


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_swap_first_reads_another_first_token(twins, letters, family):
    loaded, twin = twins(family)
    ids = own_ids(loaded, letters(LENGTH))
    for parameters, new in (({"text": "!"}, own_ids(loaded, "!")[0]), ({"token_id": 5}, 5)):
        result = run(loaded, letters(LENGTH), "swap_first", **parameters)
        assert result.changed_ids.tolist() == [new, *ids[1:]]
        check(result, twin, oracle.plain, [new, *ids[1:]])


def test_swap_with_itself_changes_nothing(twins, letters):
    loaded, _ = twins("llama")
    ids = own_ids(loaded, letters(LENGTH))
    result = run(loaded, letters(LENGTH), "swap_first", token_id=ids[0])
    same(result)


def same(result: InterventionResult) -> None:
    """The changed run is the plain run."""
    for name in ("surprisal_nats", "entropy_nats", "sink_score", "received_mass"):
        changed = getattr(result, f"changed_{name}")
        np.testing.assert_allclose(changed, getattr(result, name), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.kl_nats, 0, atol=1e-5)
    np.testing.assert_allclose(result.taken_mass, 0, atol=1e-5)
    assert result.loss_difference_nats == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_oss"])
def test_zero_head_reads_nothing(twins, letters, family):
    loaded, twin = twins(family)
    result = run(loaded, letters(LENGTH), "zero_head", layer=1, head=2)

    def edit(_, weights, q, k):
        keep = torch.ones(4)
        keep[2] = 0
        return weights * keep[:, None, None]

    check(result, twin, only(1, edit))
    assert np.argwhere(result.touched).tolist() == [[1, 2]]
    np.testing.assert_allclose(result.changed_received_mass[1, 2], 0)


def test_zero_head_is_the_model_without_that_slice_of_its_output(twins, letters):
    loaded, twin = twins("llama")
    result = run(loaded, letters(LENGTH), "zero_head", layer=1, head=2)
    attention = twin.model.layers[1].self_attn

    def silence(_, args):
        slices = args[0].clone()
        slices[..., 2 * attention.head_dim : 3 * attention.head_dim] = 0
        return (slices,)

    hook = attention.o_proj.register_forward_pre_hook(silence)
    try:
        with torch.inference_mode():
            log_p = twin(torch.tensor([result.token_ids.tolist()])).logits[0].log_softmax(-1)
    finally:
        hook.remove()
    wanted = -log_p[np.arange(LENGTH - 1), result.token_ids[1:]]
    np.testing.assert_allclose(result.changed_surprisal_nats[1:], wanted, **CLOSE)
    assert result.loss_difference_nats != pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("share", [1.0, 0.25])
@pytest.mark.parametrize("family", ["llama", "mistral", "gpt_oss"])
def test_move_to_bos_moves_the_share_of_a_head(twins, letters, family, share):
    loaded, twin = twins(family)
    result = run(loaded, letters(LENGTH), "move_to_bos", layer=2, head=3, share=share)

    def edit(_, weights, q, k):
        moved = weights.clone()
        for row in moved[3]:
            mass = float(row.sum()) * share
            row *= 1 - share
            row[0] += mass
        return moved

    check(result, twin, only(2, edit))
    if share == 1:
        assert result.changed_sink_position[2, 3] == 0
    if family == "llama" and share == 1:
        assert result.changed_sink_score[2, 3] == pytest.approx(1)


def calibrated(weights: torch.Tensor, threshold: float, factor: float) -> torch.Tensor:
    """Follow the definition of ACT one head and one row at a time; weights [T, T]."""
    length = len(weights)
    received = weights.sum(0) / (length - torch.arange(length))
    sinks = [j for j in range(1, length) if received[j] > threshold]
    changed = weights.clone()
    for row in changed:
        freed, others = 0.0, float(sum(row[j] for j in range(length) if j not in sinks))
        if others == 0:
            continue
        for j in sinks:
            freed += (1 - factor) * float(row[j])
            row[j] *= factor
        for j in range(length):
            if j not in sinks:
                row[j] *= 1 + freed / others
    return changed


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
def test_act_turns_sinks_down_and_gives_back_in_proportion(twins, letters, family):
    loaded, twin = twins(family)
    heads = [[1, 0], [1, 3], [2, 2]]
    result = run(loaded, letters(LENGTH), "act", threshold=0.06, factor=0.4, heads=heads)

    def edit(module, weights, q, k):
        chosen = [head for layer, head in heads if layer == module.layer_idx]
        rows = [calibrated(w, 0.06, 0.4) if h in chosen else w for h, w in enumerate(weights)]
        return torch.stack(rows)

    check(result, twin, edit)
    assert np.argwhere(result.touched).tolist() == heads
    assert result.taken_mass.max() > 0.01


def test_act_by_hand():
    weights = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0], [0.2, 0.6, 0.2]])
    # Key 1 receives (0.5 + 0.6) / 2 = 0.55, key 2 0.2: at threshold 0.3 only key 1 is a sink.
    wanted = [[1.0, 0, 0], [0.8, 0.2, 0], [0.38, 0.24, 0.38]]
    torch.testing.assert_close(calibrated(weights, 0.3, 0.4), torch.tensor(wanted))


def test_act_with_factor_one_changes_nothing(twins, letters):
    loaded, _ = twins("llama")
    result = run(loaded, letters(LENGTH), "act", factor=1.0)
    assert result.touched.all()
    same(result)


def test_act_asks_for_enough_queries(twins, letters):
    loaded, _ = twins("llama")
    strict = run(loaded, letters(LENGTH), "act", threshold=0.15, least_queries=LENGTH + 1)
    same(strict)


@pytest.mark.parametrize("reweight", [True, False])
@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_softplus_is_its_formula(twins, letters, family, reweight):
    loaded, twin = twins(family)
    result = run(loaded, letters(LENGTH), "softplus", layers=[1, 2], reweight=reweight, power=3)
    window = getattr(twin.config, "sliding_window", None) or LENGTH

    def row(q, k, i):
        visible = [j for j in range(i + 1) if i - j < window]
        scale = np.log(len(q)) * np.log(len(visible))
        cosine = np.array([np.dot(q, k[j]) / np.linalg.norm(q) / np.linalg.norm(k[j])
                           for j in visible])  # fmt: skip
        w = np.log1p(np.exp(scale * cosine))
        w /= w.sum()
        if reweight:
            sharp = np.maximum(0, w * len(visible) - (i >= 3)) ** 3
            w = sharp / sharp.sum()
        whole = np.zeros(len(k))
        whole[visible] = w
        return whole

    def edit(module, weights, q, k):
        if module.layer_idx == 0:
            return weights
        q, k = q.double().numpy(), k.double().numpy()
        full = [[row(q[h, i], k[h], i) for i in range(LENGTH)] for h in range(4)]
        return torch.tensor(np.array(full), dtype=torch.float32)

    check(result, twin, edit)
    assert result.touched[1:].all()
    assert not result.touched[0].any()


def test_softplus_of_the_models_own_logits(twins, letters):
    loaded, twin = twins("llama")
    result = run(loaded, letters(LENGTH), "softplus", reweight=False, scores="logits")

    def edit(module, weights, q, k):
        positive = torch.log1p(torch.exp(q @ k.mT * module.scaling)).tril()
        return positive / positive.sum(-1, keepdim=True)

    check(result, twin, edit)


@pytest.mark.parametrize(("last", "cap"), [(12, 0), (12, 5), (1, 30), (60, 7)])
def test_lm_infinite_caps_distances_as_the_models_own_rotation_does(twins, letters, last, cap):
    loaded, twin = twins("llama")
    result = run(loaded, letters(LENGTH), "lm_infinite", first=4, last=last, cap=cap)
    read: dict[int, torch.Tensor] = {}
    hooks = [
        layer.self_attn.register_forward_pre_hook(
            lambda module, _, kwargs: read.update({module.layer_idx: kwargs["hidden_states"]}),
            with_kwargs=True,
        )
        for layer in twin.model.layers
    ]

    def edit(module, weights, q, k):
        hidden = read[module.layer_idx]
        apart = (1, LENGTH, -1, module.head_dim)
        raw_q = module.q_proj(hidden).view(apart).transpose(1, 2)
        raw_k = module.k_proj(hidden).view(apart).transpose(1, 2)
        place = torch.full((1, LENGTH), cap or last)
        at_cap, _ = apply_rotary_pos_emb(raw_q, raw_q, *twin.model.rotary_emb(hidden, place))
        start, _ = apply_rotary_pos_emb(raw_k, raw_k, *twin.model.rotary_emb(hidden, place * 0))
        far = at_cap[0] @ start[0].repeat_interleave(2, 0).mT
        near = q @ k.mT
        logits = torch.full_like(near, float("-inf"))
        for i in range(LENGTH):
            for j in range(i + 1):
                if i - j < last or j < 4:
                    logits[:, i, j] = (far if i - j > (cap or last) else near)[:, i, j]
        return (logits * module.scaling).softmax(-1)

    try:
        check(result, twin, edit)
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize(
    "family", ["llama", "mistral", "qwen3", "gpt_neox", "cohere", "gemma3_text", "gpt_oss"]
)
def test_lm_infinite_with_room_for_the_whole_text_changes_nothing(twins, letters, family):
    loaded, _ = twins(family)
    result = run(loaded, letters(LENGTH), "lm_infinite", first=0, last=LENGTH)
    assert result.touched.all()
    same(result)


@pytest.mark.parametrize("family", ["gemma2", "gpt_oss"])
def test_lm_infinite_without_cap_is_a_mask(twins, letters, family):
    """A cap that nothing reaches leaves the mask alone, soft caps and learned sinks included."""
    loaded, twin = twins(family)
    result = run(loaded, letters(LENGTH), "lm_infinite", first=2, last=6, cap=LENGTH)
    i, j = np.indices((LENGTH, LENGTH))
    seen = torch.tensor((i - j < 6) | (j < 2))

    def edit(module, weights, q, k):
        # Hiding keys gives their share to the keys, and to the learned sink, that remain.
        rest = 1 - weights.sum(-1, keepdim=True)
        kept = weights * seen
        return kept / (kept.sum(-1, keepdim=True) + rest)

    check(result, twin, edit)
