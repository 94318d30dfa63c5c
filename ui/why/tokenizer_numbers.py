"""Numbers that the Tokens page has from tokenizers: what each is, and Python about the answer."""

from tokenarium.ui.why.answer import AnswerNumber

PETROV = "Petrov et al., 2023, arXiv:2305.15425"
BAYRAM = "Bayram et al., 2025, arXiv:2502.07057"
HAYASE = "Hayase et al., 2024, arXiv:2407.16607"
_DRAWN = "Of the 95 % interval: 2,000 draws of sentences anew, the same for both languages."
_TEXT = '"".join(found[0][{0}][0].sentences)'
_PREMIUM = "found[{0}][{1}][1]"
LANGUAGES = {
    "language_characters": AnswerNumber(
        "characters of a language's text",
        "Unicode code points of the sentences that are shipped.",
        f"len({_TEXT})",
    ),
    "language_bytes": AnswerNumber(
        "bytes of a language's text", "UTF-8 bytes of the same sentences.", f"len({_TEXT}.encode())"
    ),
    "language_tokens": AnswerNumber(
        "tokens of a language's text",
        "Of each sentence alone, none added; summed.",
        f"{_PREMIUM}.tokens",
        "tokens",
        "[tokenizer, language]",
    ),
    "premium": AnswerNumber(
        "premium",
        "How many times as many tokens a language takes for the same sentences.",
        f"{_PREMIUM}.value",
        axes="[tokenizer, language]",
        formula="tokens / tokens of the other language",
        paper=PETROV,
    ),
    "premium_low": AnswerNumber(
        "premium, lower end of its interval", _DRAWN, f"{_PREMIUM}.low", paper=PETROV
    ),
    "premium_high": AnswerNumber(
        "premium, upper end of its interval", _DRAWN, f"{_PREMIUM}.high", paper=PETROV
    ),
    "context_share": AnswerNumber(
        "how much text the same context holds",
        "Tokens of the language that takes fewest over those of the one that takes most.",
        "found[{0}][{1}][1].tokens / found[{0}][{2}][1].tokens",
    ),
    "price": AnswerNumber(
        "price of a thousand such paragraphs",
        "Tokens times the price of a million of them, over 1,000.",
        f"rate * {_PREMIUM}.tokens / 1e3",
    ),
    "kept_mib": AnswerNumber(
        "keys and values of such a paragraph",
        "Tokens times the bytes of one: two of 16 bits for each layer, KV head and dimension.",
        f"kept[{{0}}] * {_PREMIUM}.tokens / 2**20",
        "MiB",
    ),
}
STEPS = {
    "entries": AnswerNumber(
        "entries",
        "Tokens of its model, special and added ones left out.",
        "len(found[{0}].entries)",
    ),
    "merges": AnswerNumber("merges", "Pairs in its list of merges.", "len(found[{0}].merge_list)"),
    "more_added": AnswerNumber(
        "special and added tokens that are not named",
        "All of them, less the six that are.",
        "len(found[{0}].added) - 6",
    ),
}
GROWTH = {
    "made_entries": AnswerNumber("entries", "Of the trained vocabulary.", "len(made.entries)"),
    "made_merges": AnswerNumber("merges", "In the trained list.", "len(made.merge_list)"),
    "point_entries": AnswerNumber(
        "entries of the vocabulary",
        "One that stops there: the list of merges, cut off.",
        "found[{0}].entries",
    ),
    "point_tokens": AnswerNumber(
        "tokens of the text", "Under that vocabulary.", "found[{0}].tokens", "tokens"
    ),
    "point_bytes": AnswerNumber(
        "bytes per token",
        "UTF-8 bytes of the text over its tokens.",
        "len(text.encode()) / max(found[{0}].tokens, 1)",
        "bytes",
    ),
}
EPOCHS = {
    "made_entries": GROWTH["made_entries"],
    "other_entries": AnswerNumber("entries", "Of the BPE beside it.", "len(other.entries)"),
    "made_units": AnswerNumber(
        "units",
        "Entries of more than one byte.",
        "sum(len(spelled) > 1 for spelled in made.spelled.values())",
    ),
    **{
        f"{name}_tokens": AnswerNumber(
            "tokens of the text",
            f"Under {title}, none added.",
            f"len({name}.engine.encode([text])[0])",
            "tokens",
        )
        for name, title in (("made", "the tokenizer of LiB"), ("other", "the BPE beside it"))
    },
    "epoch_tokens": AnswerNumber(
        "tokens of the training text",
        "As it is read in this epoch, counted from 0.",
        "found[{0}].tokens",
        "tokens",
    ),
    "epoch_units": AnswerNumber(
        "units known", "In this epoch, counted from 0; those on trial included.", "found[{0}].units"
    ),
}
_MIXED = "By a linear programme: at each merge the merged pair was the commonest of the mixture."
_INTERVAL = "Middle 90 % of 20 draws of the samples' sentences anew."
MIXTURE = {
    "share": AnswerNumber(
        "share of the training text",
        f"Of its bytes. {_MIXED}",
        "found.shares[{0}]",
        axes="[kind of text]",
        paper=HAYASE,
    ),
    "share_low": AnswerNumber("share, lower end", _INTERVAL, "found.low[{0}]", paper=HAYASE),
    "share_high": AnswerNumber("share, upper end", _INTERVAL, "found.high[{0}]", paper=HAYASE),
    "stands": AnswerNumber(
        "merges in the sample", "Share of the merges that stand in it.", "found.stands[{0}]"
    ),
    "size": AnswerNumber("bytes of the sample", "In UTF-8.", "found.sizes[{0}]", "bytes"),
    "merges": AnswerNumber(
        "merges that say something",
        "The first of the list that stand in a sample.",
        "found.merges",
        "merges",
    ),
    "unseen": AnswerNumber(
        "merges left out", "They stand in no sample, and so say nothing.", "found.unseen", "merges"
    ),
    "explained": AnswerNumber(
        "share of the merges that is explained",
        "They stand in a sample which has a share.",
        "found.explained",
    ),
    "others": AnswerNumber(
        "kinds of text that are not named",
        "Their shares are under 0.5 %.",
        "(found.shares < 0.005).sum()",
    ),
    "constraints": AnswerNumber(
        "constraints", "A merge and a pair that it was commoner than.", "found.constraints"
    ),
    **{
        name: AnswerNumber(title, meaning, f"found.{name}", "pairs per 1,000 bytes", paper=HAYASE)
        for name, title, meaning in (
            ("slack", "slack", "The least sum under which all constraints hold."),
            ("bound", "bound of the slack", "No shares go below it."),
            ("equal_slack", "slack of equal shares", "How much the answer is better than none."),
        )
    },
}
_COUNTED = "Tokens with letters, each once"
_CONTROL = "Of the words of the text themselves, uncut, each once."
TURKISH = {
    "turkish_entries": AnswerNumber(
        "entries", "Tokens of its model, special and added ones left out.", "entries[{0}]"
    ),
    "turkish_tokens": AnswerNumber(
        "tokens", "Of the whole text, none added.", "found[{0}].tokens", "tokens"
    ),
    "turkish_distinct": AnswerNumber(
        "distinct tokens",
        "Each once; those without letters, such as signs and digits, are left out.",
        "found[{0}].distinct",
        "tokens",
    ),
    "percent_tr": AnswerNumber(
        "%TR",
        f"{_COUNTED}, that the dictionary has as words or builds of its roots and affixes.",
        "found[{0}].percent_tr",
        "%",
        formula="distinct tokens that are words / distinct tokens",
        paper=BAYRAM,
    ),
    "percent_pure": AnswerNumber(
        "%Pure",
        f"{_COUNTED}, that are a bare root or an affix of two letters or more.",
        "found[{0}].percent_pure",
        "%",
        formula="distinct tokens that are a root or an affix / distinct tokens",
        paper=BAYRAM,
    ),
    "words_distinct": AnswerNumber("distinct words", _CONTROL, "words.distinct", "words"),
    "words_known": AnswerNumber(
        "words that the dictionary knows", _CONTROL, "words.words", "words"
    ),
    "words_tr": AnswerNumber(
        "%TR of the words", _CONTROL, "100 * words.words / words.distinct", "%"
    ),
    "words_pure": AnswerNumber(
        "%Pure of the words", _CONTROL, "100 * words.pure / words.distinct", "%"
    ),
    "roots": AnswerNumber("roots of the dictionary", "Nouns and verbs.", "words.roots"),
    "affixes": AnswerNumber(
        "affixes of the dictionary", "Their forms by sound are not counted.", "words.affixes"
    ),
}
_CURVE = "found[{0}].premiums[{1}]"
CURVES = {
    "curve_entries": AnswerNumber(
        "entries of the vocabulary", "Where it is cut off.", "found[{0}].entries[{1}]"
    ),
    "curve_premium": AnswerNumber(
        "premium",
        "How many times as many tokens a language takes for the same sentences.",
        f"{_CURVE}.value",
        axes="[language, size]",
        formula="tokens / tokens of the other language",
        paper=PETROV,
    ),
    "curve_low": AnswerNumber("premium, lower end", _DRAWN, f"{_CURVE}.low", paper=PETROV),
    "curve_high": AnswerNumber("premium, upper end", _DRAWN, f"{_CURVE}.high", paper=PETROV),
    "curve_tokens": AnswerNumber(
        "tokens at the end", "Of the sentences that are shipped.", f"{_CURVE}.tokens", "tokens"
    ),
    "entries_for": AnswerNumber(
        "entries for as few tokens",
        "Of the language's own vocabulary; between two sizes both logarithms are taken as a line.",
        "found[{0}].entries_for(found[{1}].premiums[-2].tokens)",
        "entries",
    ),
    "least_premium": AnswerNumber(
        "least premium at the end",
        "Over the languages.",
        "min(curve.premiums[-1].value for curve in found)",
    ),
    "most_premium": AnswerNumber(
        "largest premium at the end",
        "Over the languages.",
        "max(curve.premiums[-1].value for curve in found)",
    ),
    "spelled": AnswerNumber(
        "languages",
        "Those that the tokenizer can spell.",
        "sum(c.premiums[-1].tokens > 0 for c in found)",
    ),
}
