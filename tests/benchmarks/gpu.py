"""One command for a GPU: its tests, then every benchmark, then one table (``make gpu``).

Needs a Python with torch, triton, transformers, numpy and pytest, and pydantic with
pydantic-settings for what reads models. Nothing is installed: the import names are links in a
folder of their own, so that the checkout may lie anywhere.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run ``tests.benchmarks.on_gpu`` with the options given."""
    with tempfile.TemporaryDirectory() as name:
        links = Path(name)
        (links / "tokenarium").symlink_to(PROJECT)
        (links / "tests").symlink_to(PROJECT / "tests")
        paths = [name, os.environ.get("PYTHONPATH", "")]
        settings = {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "PYTHONUNBUFFERED": "1",
            "HF_HUB_OFFLINE": "1",
            "TRITON_CACHE_DIR": os.environ.get("TRITON_CACHE_DIR", str(links / "triton")),
        }
        command = [sys.executable, "-P", "-m", "tests.benchmarks.on_gpu", *sys.argv[1:]]
        return subprocess.run(
            command, cwd=PROJECT, env=os.environ | settings, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
