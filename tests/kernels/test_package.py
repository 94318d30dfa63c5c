"""Our ``kernels`` folder beside the package of that name that transformers looks for."""

import subprocess
import sys

import pytest

from tokenarium.backend.settings import PROJECT

pytestmark = pytest.mark.process

CODE = """
import sys
import tokenarium.kernels.attention_stats, tokenarium.kernels.vocab_stats
assert "triton" not in sys.modules and "transformers" not in sys.modules
assert tokenarium.kernels.__path__[0].startswith({project!r}), tokenarium.kernels.__path__
import kernels
assert kernels.WHOSE == "somebody else's"
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig
config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                     num_attention_heads=2)
AutoModelForCausalLM.from_config(config).save_pretrained({folder!r})
model = AutoModelForCausalLM.from_pretrained({folder!r})
assert kernels.__file__.startswith({folder!r})
print(type(model).__name__)
"""


def test_kernels_lives_beside_the_package_of_that_name(tmp_path, monkeypatch):
    other = tmp_path / "kernels"
    other.mkdir()
    (other / "__init__.py").write_text('WHOSE = "somebody else\'s"\n')
    metadata = tmp_path / "kernels-0.17.2.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: kernels\nVersion: 0.17.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    code = CODE.format(project=str(PROJECT), folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "LlamaForCausalLM"
