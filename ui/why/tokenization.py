"""How numbers of the Tokens page are made of a segmentation's fields."""

from tokenarium.ui.why.formula import Formula

TOKENIZE = {
    "characters_per_token": Formula(
        "tokens",
        "characters per token",
        "Unicode code points of the text over its tokens.",
        "result.text_characters / result.tokens[{0}]",
        "",
    ),
    "more_than_native": Formula(
        "nats_per_byte",
        "more than native",
        "Nats per byte, less those of the native segmentation.",
        "result.nats_per_byte[{0}] - result.nats_per_byte[0]",
    ),
    "nats_per_token": Formula(
        "nats_per_byte",
        "nats per token",
        "The sum of -ln p over the tokens: nats per byte times bytes, over tokens.",
        "float(result.nats_per_byte[{0}]) * result.text_bytes / result.tokens[{0}]",
        "nats",
    ),
}
