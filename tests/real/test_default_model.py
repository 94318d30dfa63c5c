"""SmolLM2-135M-Instruct, as visitors have it: measured, asked, recognised."""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from tokenarium.backend import DEFAULT_MODEL, Lab, SpeculateRequest, TraceRequest
from tokenarium.backend.models.default import PACKAGE
from tokenarium.backend.models.gguf.converted import MARKER, identity

TEXT = (
    "The lighthouse keeper counted the ships that passed in the night, and wrote their names into "
    "a book which nobody but the sea would ever read."
)
EXPECTED = "b43530fcb98c447869884b25eeb95ca5f18db5567f291217457c3a55d3fc21db"
"""Identity of the default model."""
QUESTION = "What is the capital of France?"


def test_a_trace_equals_eager_attention(lab: Lab, folder: Path) -> None:
    run = lab.run(TraceRequest(model=DEFAULT_MODEL, text=TEXT))
    result = run.result
    eager = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    ).eval()
    ids = torch.tensor([list(map(int, result.token_ids))])
    with torch.inference_mode():
        found = eager(input_ids=ids, output_attentions=True)
    logs = found.logits.double().log_softmax(-1)[0]
    surprisal = -logs[:-1].gather(1, ids[0, 1:, None])[:, 0]
    np.testing.assert_allclose(result.surprisal_nats[1:], surprisal, atol=2e-3)
    weights = torch.stack(found.attentions)[:, 0].double()  # [L, H, T, T]
    np.testing.assert_allclose(result.sink_score, weights[..., 0].mean(-1), atol=2e-4)
    assert result.sink_score.shape == (30, 9)
    assert run.environment["weights"] == {
        DEFAULT_MODEL: "dequantised 4-bit copy: GGUF, Q4_1, as bfloat16"
    }


def test_a_question_is_answered_by_the_chat_template(lab: Lab) -> None:
    request = TraceRequest(model=DEFAULT_MODEL, text=QUESTION)
    with lab.models_of(request) as used:
        tokenizer, model = used.model.tokenizer, used.model.model
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": QUESTION}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.inference_mode():
            said = model.generate(**asked, do_sample=False, max_new_tokens=12)
        answer = tokenizer.decode(said[0, asked["input_ids"].shape[1] :])
    assert "Paris" in answer


def test_guesses_from_the_text_leave_the_text_alone(lab: Lab) -> None:
    result = lab.run(
        SpeculateRequest(
            model=DEFAULT_MODEL, text=f"{TEXT} {TEXT} The", drafter="prompt_lookup",
            max_new_tokens=16,
        )
    ).result  # fmt: skip
    assert list(result.token_ids) == list(result.plain_ids)


def test_the_model_is_known_by_its_file_and_the_converter(lab: Lab, folder: Path) -> None:
    with lab.models_of(TraceRequest(model=DEFAULT_MODEL, text="a")) as used:
        assert used.model.fingerprint == identity(PACKAGE.digest)
    assert json.loads((folder / MARKER).read_text())["sha256"] == PACKAGE.digest
    # As it is stored with runs: another value would leave every stored run behind.
    assert identity(PACKAGE.digest) == EXPECTED
