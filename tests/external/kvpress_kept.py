"""Runs in another environment, with kvpress: prints which positions its presses keep.

Usage: python kvpress_kept.py MODEL_FOLDER STATES.npz PRESSES.json
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import kvpress
import numpy as np
import torch
from transformers import AutoModelForCausalLM


def made(name: str, parameters: dict[str, object]) -> object:
    """Return a press, around another one where ``press`` is a pair of name and parameters.

    Duo Attention takes the scores of heads, its sink and its window here: its own come for six
    checkpoints only.
    """
    if name == "DuoAttentionPress":
        press = kvpress.DuoAttentionPress(head_compression_ratio=parameters["ratio"])
        scores = np.asarray(parameters["scores"])
        lowest = np.argsort(scores, axis=None)[: round(scores.size * parameters["ratio"])]
        press.sink_size, press.recent_size = parameters["sink"], parameters["recent"]
        press.streaming_mask = torch.zeros(scores.shape, dtype=torch.bool)
        press.streaming_mask[np.unravel_index(lowest, scores.shape)] = True
        return press
    if "press" in parameters:
        parameters = parameters | {"press": made(*parameters["press"])}
    return getattr(kvpress, name)(**parameters)


def kept(press: object, module: torch.nn.Module, states: list[torch.Tensor]) -> list[list[int]]:
    """Return the ascending positions by KV head, found by their keys; of ThinK the channels."""
    hidden, keys, values, cosine, sine = states
    given = {"position_embeddings": (cosine, sine), "hidden_states": hidden}
    if isinstance(press, kvpress.ThinKPress):
        thinner = press.compress(module, hidden, keys.clone(), values, None, given)[0][0]
        return [(own != 0).any(0).nonzero()[:, 0].tolist() for own in thinner]
    left = press.compress(module, hidden, keys, values, None, given)[0][0]
    gone = torch.zeros(keys.shape[1:3], dtype=torch.bool)
    if getattr(module, "masked_key_indices", None) is not None:
        gone[module.masked_key_indices[1:]] = True
        module.masked_key_indices = None
    found = []
    for own, all_of_head, masked in zip(left, keys[0], gone, strict=True):
        same = (own[:, None] == all_of_head[None]).all(-1)
        assert (same.sum(1) == 1).all(), "two tokens have the same key"
        masked[same.sum(0) == 0] = True
        found.append((~masked).nonzero()[:, 0].tolist())
    return found


def main(folder: str, states_file: str, presses_file: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    states = {name: torch.from_numpy(own) for name, own in np.load(states_file).items()}
    positions = [states["cosine"], states["sine"]]
    results = {}
    asked = json.loads(Path(presses_file).read_text())
    for asked_as, (name, parameters) in asked.items():
        results[asked_as] = []
        for layer, block in enumerate(model.model.layers):
            # As kvpress does when it is put around a model.
            block.self_attn.rotary_emb = model.model.rotary_emb
            press = made(name, parameters)
            own = [states[f"{kind}{layer}"] for kind in ("hidden", "keys", "values")]
            with torch.no_grad():
                results[asked_as].append(kept(press, block.self_attn, own + positions))
    sys.stdout.write(json.dumps({"version": version("kvpress"), "kept": results}))


if __name__ == "__main__":
    main(*sys.argv[1:])
