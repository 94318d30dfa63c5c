"""Faults of tokenizers, segmenters and what is counted of them."""

from tests.mutations.mutation import Mutation

_AT = "backend/tokenization/"


def _fault(name: str, file: str, before: str, after: str, test: str) -> Mutation:
    return Mutation(name, f"{_AT}{file}.py", before, after, (f"tokenization/test_{test}.py",))


def _lib(what: str, before: str, after: str) -> Mutation:
    return _fault(f"lib {what}", "less_is_better", before, after, "less_is_better")


def _merging(what: str, file: str, before: str, after: str) -> Mutation:
    return _fault(what, file, before, after, "dynamic_merges")


def _typed(what: str, before: str, after: str) -> Mutation:
    file = "new_tokens/initialisers/typed_terms"
    return _fault(f"typed_terms {what}", file, before, after, "typed_terms")


def _noise(what: str, before: str, after: str) -> Mutation:
    return _fault(f"noise: {what}", "noise", before, after, "noise")


def _domain(what: str, before: str, after: str) -> Mutation:
    return _fault(f"domain: {what}", "domains", before, after, "domains")


def _language(what: str, before: str, after: str) -> Mutation:
    return _fault(f"another language: {what}", "extension", before, after, "extension")


def _turkish(what: str, before: str, after: str) -> Mutation:
    return _fault(f"turkish: {what}", "turkish", before, after, "turkish")


TOKENIZATION = (
    _merging(
        "dynamic_merges merges the rarest neighbours",
        "segmenters/dynamic_merges",
        "best = max(found, key=found.__getitem__)",
        "best = min(found, key=found.__getitem__)",
    ),
    _merging(
        "dynamic_merges counts a word once",
        "segmenters/dynamic_merges",
        "found[pair] += often[word]",
        "found[pair] += 1",
    ),
    _merging(
        "dynamic_merges goes on one merge too few",
        "segmenters/dynamic_merges",
        "while left > 0:",
        "while left > 1:",
    ),
    _merging(
        "dynamic_merges rounds its share down",
        "segmenters/dynamic_merges",
        "left = ceil(self.share * (len(ids) - len(words)))",
        "left = int(self.share * (len(ids) - len(words)))",
    ),
    _merging(
        "dynamic_merges joins a token too many",
        "segmenters/dynamic_merges",
        "done = min(merges, len(now) - 1)",
        "done = min(merges + 1, len(now) - 1)",
    ),
    _merging(
        "whole_words leaves tokens alone",
        "segmenters/whole_words",
        "return [len(pieces) for pieces in word_groups(reading)]",
        "return [1 for pieces in word_groups(reading) for _ in pieces]",
    ),
    _merging(
        "a unit is the sum of its embeddings",
        "merged_scoring",
        "vectors[start:stop].mean(0)",
        "vectors[start:stop].sum(0)",
    ),
    _merging(
        "a unit is read after the tokens inside of it",
        "merged_scoring",
        "        parents.append(last)\n        spans.append((start, stop))",
        "        parents.append(node)\n        spans.append((start, stop))",
    ),
    _merging(
        "a unit lacks its last token",
        "merged_scoring",
        "spans.append((start, stop))",
        "spans.append((start, max(start + 1, stop - 1)))",
    ),
    _lib("reads the shortest known unit", "for stop in range(min(len(piece), start + longest), "
         "start + 1, -1):", "for stop in range(start + 2, min(len(piece), start + longest) + 1):"),
    _lib("reads units a byte too short", "min(len(piece), start + longest)",
         "min(len(piece), start + longest - 1)"),
    _lib("turns what a unit saves", "return other - (mine - at + 1)",
         "return (mine - at + 1) - other"),
    _lib("counts a token too few", "return other - (mine - at + 1)", "return other - (mine - at)"),
    _lib("moves a useful unit down", "1 - STEP if saved > 0 else 1 + STEP",
         "1 + STEP if saved > 0 else 1 - STEP"),
    _lib("moves a unit up that saves nothing", "if saved > 0 else", "if saved >= 0 else"),
    _lib("forgets the best units", "order = sorted(moved, key=moved.__getitem__)",
         "order = sorted(moved, key=moved.__getitem__, reverse=True)"),
    _lib("keeps what is beyond the size", "order = order[: min(kept, size)]",
         "order = order[:kept]"),
    _lib("forgets after the last epoch too", "if remembers else len(order)", "if True else 0"),
    _lib("remembers beyond the longest unit", "if len(pair) <= LONGEST]",
         "if len(pair) <= LONGEST + 2]"),
    _typed("takes the least alike type", "(types @ around).argmax()", "(types @ around).argmin()"),
    _typed("does not centre states", "states = states - states[: len(every)].mean(0)", "pass"),
    _typed("centres on all states", "states[: len(every)].mean(0)", "states.mean(0)"),
    _typed("does not normalise types",
           "types = normalize(torch.stack([each.mean(0) for each in of_terms]), dim=1)",
           "types = torch.stack([each.mean(0) for each in of_terms])"),
    _typed("does not normalise terms",
           "of_terms = normalize(states[: len(every)], dim=1).split([*map(len, kinds)])",
           "of_terms = states[: len(every)].split([*map(len, kinds)])"),
    _typed("mixes the other way round", "(1 - self.share) * own + self.share * terms.mean(0)",
           "self.share * own + (1 - self.share) * terms.mean(0)"),
    _typed("takes pieces for the sentence", "(c or p for c, p", "(p or c for c, p"),
    _noise("errors at what is not drawn", "draw.random() < share else", "draw.random() > share "
           "else"),
    _noise("a single letter is misread before a pair", "for width in (2, 1):",
           "for width in (1, 2):"),
    _noise("places behind an edit do not move", "shift = edits[at].stop - edits[at].new_stop",
           "shift = 0"),
    _noise("the shift with its sign turned", "shift = edits[at].stop - edits[at].new_stop",
           "shift = edits[at].new_stop - edits[at].stop"),
    _noise("an edit begins before its end", "while at < len(edits) and edits[at].new_stop <= place",
           "while at < len(edits) and edits[at].new_stop < place"),
    _noise("a place at the start of an edit is lost", "place <= edits[at].new_start",
           "place < edits[at].new_start"),
    _noise("lost boundaries are not in the union", "len(old | moved) + len(new) - len(moved)",
           "len(old | moved)"),
    _noise("a token that was cut anew counts as whole",
           "        or any(start < place < stop for place in moved)\n", ""),
    _noise("a token that was replaced counts as whole",
           "        or any(edit.start < stop and start < edit.stop for edit in edits)\n", ""),
    _noise("the same errors in every block", "noised(block, noise, share, seed + number)",
           "noised(block, noise, share, seed)"),
    _noise("a share of tokens, not for each error", "tokens=ratio(tokens, errors)",
           "tokens=ratio(tokens, either)"),
    _noise("the interval of 90 %", "[0.025, 0.975]", "[0.05, 0.95]"),
    _domain("the first fifth is held out",
            'return "".join(every[:first]), "".join(every[first:])',
            'return "".join(every[-first:]), "".join(every[:-first])'),
    _domain("a text of its own length each", "size = min(len(trained.encode())",
            "size = max(len(trained.encode())"),
    _domain("the ratio turned round", "ratio(domain[0], general[0])",
            "ratio(general[0], domain[0])"),
    _domain("tokens per byte by another text's bytes", "(ratio(each[0], sizes[0]), "
            "ratio(each[1], sizes[1]))", "(ratio(each[0], sizes[1]), ratio(each[1], sizes[0]))"),
    _domain("noise in the general text", "stability(vocabulary, held_out[first],",
            "stability(vocabulary, held_out[second],"),
    _domain("words by occurrences alone",
            "-word.occurrences * (word.general_tokens - word.domain_tokens)", "-word.occurrences"),
    _language("the rarest pair is merged first", "(-pairs[pair], spelled[pair[0]]",
              "(pairs[pair], spelled[pair[0]]"),
    _language("a word counts once", "pairs[pair] += sign * times[number]", "pairs[pair] += sign"),
    _language("a pair that stands once is merged", "LEAST_COUNT = 2", "LEAST_COUNT = 1"),
    _language("what is spelled already is merged again", " or whole in taken:", ":"),
    _language("new merges go before the old", "merges[left, right] = Merge(ranks + number, first "
              "+ number)", "merges[left, right] = Merge(number, first + number)"),
    _language("a new token has another's id", "key = max(spelled) + 1\n", "key = len(spelled) + 1\n"
              ),
    _language("the ratio turned round", "ratio(after, before)", "ratio(before, after)"),
    _turkish("vowels by the wrong harmony", '"o": "u", "u": "u", "ö": "ü", "ü": "ü"',
             '"o": "ü", "u": "ü", "ö": "u", "ü": "u"'),
    _turkish("voiced after the voiceless", "_SOUNDS[letter][whole[-1] in _VOICELESS]",
             "_SOUNDS[letter][whole[-1] not in _VOICELESS]"),
    _turkish("capitals as in English", "text.translate(_CAPITALS).lower()", "text.lower()"),
    _turkish("no softened roots", "before_vowel and _hardened(stem) in roots", "False"),
    _turkish("softened before anything", 'before_vowel = rest[:1] != "" and rest[0] in _VOWELS',
             "before_vowel = True"),
    _turkish("letters are affixes", "if len(form) > 1)", ")"),
    _turkish("%TR of all tokens", "return 100 * self.words / self.distinct if",
             "return 100 * self.words / self.tokens if"),
    _turkish("%Pure counts words", "return 100 * self.pure / self.distinct if",
             "return 100 * self.words / self.distinct if"),
    _turkish("a token counts as often as it stands", "for key in dict.fromkeys(native)}\n    "
             "lettered = [word for word in shown.values() if",
             "for key in dict.fromkeys(native)}\n    lettered = [word for word in "
             "[shown[k] for k in native] if"),
    _turkish("half characters are left out", "if word is None or _WORD.search(word)]",
             "if word is not None and _WORD.search(word)]"),
    _turkish("an affix more than there may be", "MOST_AFFIXES = 7", "MOST_AFFIXES = 2"),
)  # fmt: skip
