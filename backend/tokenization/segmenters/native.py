"""What the tokenizer itself does."""

from tokenarium.backend.tokenization.segmentation import Reading
from tokenarium.backend.tokenization.segmenter import Segmenter


class Native(Segmenter):
    """The tokenizer's own segmentation, which the model was trained on."""

    slug = "native"
    title = "Native"
    explanation = "As the tokenizer itself cuts the text: what the model was trained on."
    paper = "Sennrich et al., 2016, arXiv:1508.07909, for byte-pair encoding"

    def segment(self, reading: Reading, seed: int) -> list[int]:  # noqa: ARG002
        """Return the tokenizer's own ids."""
        return list(reading.native)
