"""Our ``kernels`` folder beside the package of that name that transformers looks for."""

import subprocess
import sys

from backend.settings import PROJECT

CODE = """
import sys
import kernels
assert kernels.__path__[0].startswith({project!r}), kernels.__path__
assert not hasattr(kernels, "__version__")
assert "torch" not in sys.modules and "triton" not in sys.modules
import kernels.attention_stats, kernels.vocab_stats
assert "triton" not in sys.modules and "transformers" not in sys.modules
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig
config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                     num_attention_heads=2)
AutoModelForCausalLM.from_config(config).save_pretrained({folder!r})
model = AutoModelForCausalLM.from_pretrained({folder!r})
assert sys.modules["kernels"].__path__[0].startswith({project!r})
print(type(model).__name__)
"""


def test_kernels_folder_does_not_break_transformers(tmp_path):
    code = CODE.format(project=str(PROJECT), folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "LlamaForCausalLM"
