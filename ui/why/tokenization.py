"""How numbers of the Tokens page are made of the fields of its runs."""

from tokenarium.ui.why.formula import Formula

_OF_WORD = (
    "np.nansum(result.surprisal_nats[(result.segmentation == {row}) & (result.stop_byte >= {{1}}) "
    "& (result.stop_byte < {{2}})], dtype=float)"
)
TOKENIZE = {
    "characters_per_token": Formula(
        "tokens",
        "characters per token",
        "Unicode code points of the text over its tokens.",
        "result.text_characters / result.tokens[{0}]",
        "",
    ),
    "tokens_times": Formula(
        "tokens",
        "how many times as many tokens",
        "The tokens of one over those of the other.",
        "result.tokens[{0}] / result.tokens[{1}]",
        "",
    ),
    "more_than_native": Formula(
        "nats_per_byte",
        "more than native",
        "Nats per byte, less those of the native segmentation.",
        "result.nats_per_byte[{0}] - result.nats_per_byte[0]",
    ),
    "vectors_saved": Formula(
        "units",
        "vectors saved",
        "Tokens that no vector of their own is read for, over tokens.",
        "100 * (1 - result.units[{0}] / result.tokens[{0}])",
        "%",
    ),
    "more_at_starts": Formula(
        "surprisal_nats",
        "more at the first token of a unit",
        "The mean over tokens that begin a unit of -ln p, less that of the same token as it is.",
        "result.more_at_starts({0})",
        "nats",
    ),
    "nats_per_token": Formula(
        "nats_per_byte",
        "nats per token",
        "The sum of -ln p over the tokens: nats per byte times bytes, over tokens.",
        "float(result.nats_per_byte[{0}]) * result.text_bytes / result.tokens[{0}]",
        "nats",
    ),
    "word_more": Formula(
        "surprisal_nats",
        "nats of a word more than native",
        "The sum over the tokens that end in it, spaces after the word before included, less that "
        "of the native segmentation.",
        f"{_OF_WORD.format(row='{0}')} - {_OF_WORD.format(row='0')}",
    ),
}
LETTERS = {
    "right_answers": Formula(
        "margin_nats",
        "right answers",
        "Questions with a margin above 0.",
        "(result.margin_nats > 0).sum()",
        "",
    ),
    "questions": Formula("answer", "questions", "How many there are.", "len(result.answer)", ""),
}
NEW_TOKENS = {
    "added": Formula("occurrences", "new tokens", "How many there are.", "len(result.occurrences)"),
    "more_than_before": Formula(
        "nats_per_byte",
        "more than native",
        "Nats per byte, less those of the text as the model knows it.",
        "result.nats_per_byte[{0}] - result.native_nats_per_byte",
    ),
    "share_more": Formula(
        "nats_per_byte",
        "how much more than native, as a share",
        "Nats per byte over those of the text as the model knows it, less 1.",
        "result.nats_per_byte[{0}] / result.native_nats_per_byte - 1",
        "",
    ),
}
