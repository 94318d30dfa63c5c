"""What a first visitor may audit or import: texts with and without a fault, figures of engines."""

import json
from typing import Any

from tokenarium.backend import DEFAULT_MODEL, Lab
from tokenarium.ui.audits.form import FORMATS

STORY = "Once upon a time there was a little girl named Lily. She loved to play outside."
_USUAL: dict[str, Any] = {
    "prompt": STORY,
    "token_ids": "",
    "logprobs": "",
    "temperature": 0,
    "generated_in": FORMATS[0],
    "dtype": "float32",
    "top_k": 0,
    "top_p": 1,
    "min_p": 0,
    "repetition_penalty": 1,
    "chat_template": False,
}
_FAULTY = {
    DEFAULT_MODEL: " One day, she found a special toy that was made of a special material called "
    '"Echo-E" that had a special ability to make animals disappear.',
    "bundled/target": " She loved to play with her toys and play with her toys. She loved to play "
    "with her toys and play with her toys.\nThe little girl was so excited to see her garden.",
}
"""What each model writes after the story, greedily, with one word changed near the end."""
_DRAWN = (
    " One day, Lily went to the park with her mom. They saw a big tree with many apples. Lily "
    "wanted to eat one, but it was too high."
)


def audits(lab: Lab) -> dict[str, dict[str, Any]]:
    """Return what may be audited, by title, as values of the page's controls."""
    model = lab.preselected().name
    model = model if model in _FAULTY else "bundled/target"
    return {
        "One word changed": {**_USUAL, "model": model, "continuation": _FAULTY[model]},
        "Said to be drawn at temperature 1": {
            **_USUAL,
            "model": model,
            "temperature": 1,
            "continuation": _DRAWN,
        },
    }


_VLLM = {
    "model": "org/model",
    "usage": {"completion_tokens": 30},
    "metrics": {
        "speculative_decoding": {
            "mean_acceptance_length": 2.9,
            "draft_acceptance_rate": 19 / 38,
            "acceptance_histogram": [2, 3, 2, 0, 3],
            "num_spec_steps": 10,
            "num_accepted_draft_tokens": 19,
            "num_draft_tokens": 38,
            "num_spec_tokens": 4,
            "per_step_accepted": [4, 1, 0, 2, 4, 1, 0, 2, 4, 1],
            "per_step_drafted": [4, 4, 4, 4, 4, 4, 4, 2, 4, 4],
        }
    },
}
IMPORTS: dict[str, str] = {
    "vLLM, detailed": json.dumps(_VLLM),
    "llama.cpp, log": (
        "slot print_timing: id  1 | task 0 |        eval time =    2296.72 ms /   256 tokens\n"
        "slot print_timing: id  1 | task 0 | draft acceptance = 0.64479 (  167 accepted /   259 "
        "generated), mean acceptance length =  2.92, acceptance rate per position = (0.805, "
        "0.632, 0.483)\n"
        "statistics     draft-eagle3: #calls(b,g,a) =    1     87     87, #gen drafts =     87, "
        "#acc drafts =    70, #gen tokens =    259, #acc tokens =   167\n"
    ),
    "JSON lines of any program": json.dumps(
        {
            "engine": "mine",
            "rounds": [{"drafted": 4, "accepted": 3}, {"drafted": 4, "accepted": 0}],
            "logprobs": [-0.1, -0.4, -0.2, -1.1, -0.7],
            "token_ids": [11, 12, 13, 14, 15],
        }
    ),
}
