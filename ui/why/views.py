"""What opens at numbers that a view derives from a trace by its settings: a threshold, a factor."""

from collections.abc import Mapping, Sequence
from typing import Any

from tokenarium.backend import (
    LABEL_RULES,
    HeadEvidence,
    Lab,
    Run,
    TraceResult,
    accumulated_chance,
    accumulated_mass,
    chosen_mean,
    compare,
    find_sinks,
    head_labels,
    head_measures,
    rank_correlation,
    sink_rate,
    sink_scores,
    times_noise,
)
from tokenarium.ui.why.answer import Answer, AnswerNumber
from tokenarium.ui.why.explain import note

SUN = "Sun et al., 2024, arXiv:2402.17762"
XIAO = "Xiao et al., 2023, arXiv:2309.17453"
HEAVY = {
    "mass": AnswerNumber(
        "accumulated attention",
        "Attention received, summed over all queries; the mean over the heads that are chosen.",
        "mass[{0}]",
        axes="[T]",
        paper="Zhang et al., 2023, arXiv:2306.14048",
    ),
    "times": AnswerNumber(
        "times chance",
        "Accumulated attention over what uniform attention gives the same position.",
        "times[{0}]",
        axes="[T]",
    ),
}
SINKS = {
    "heads_above": AnswerNumber(
        "heads above the threshold",
        "Heads that give the first token more than the threshold of their attention.",
        "(scores > threshold).sum()",
        "heads",
    ),
    "heads": AnswerNumber("heads", "Query heads of all layers.", "scores.size", "heads"),
    "rate": AnswerNumber(
        "sink rate",
        "Share of measured heads above the threshold.",
        "sink_rate(scores, threshold)",
        paper="Gu et al., 2024, arXiv:2410.10781",
    ),
    "tokens": AnswerNumber("tokens", "Of the text.", "result.length", "tokens"),
    "sink_heads": AnswerNumber(
        "heads that park here",
        "Heads that give this token more than the threshold, mean over the queries that see it.",
        "len(found[{0}].heads)",
        "heads",
        paper=XIAO,
    ),
    "score": AnswerNumber(
        "attention of the strongest head",
        "Mean over the queries that see this token.",
        "found[{0}].score",
        paper=XIAO,
    ),
    "queries": AnswerNumber(
        "queries", "Tokens that see this one: what the mean is over.", "found[{0}].queries"
    ),
    "value_ratio": AnswerNumber(
        "value norm over the median",
        "Of the strongest head's KV group; below 1 the value is drained.",
        "found[{0}].value_ratio",
    ),
    "key_ratio": AnswerNumber(
        "key norm over the median", "Of the strongest head's KV group.", "found[{0}].key_ratio"
    ),
    "residual_ratio": AnswerNumber(
        "residual peak",
        "Highest over layers of the residual norm over the median of that layer.",
        "found[{0}].residual_ratio",
        paper=SUN,
    ),
    "dimension": AnswerNumber(
        "value of a large dimension",
        "Of the residual stream where its peak is.",
        "found[{0}].dimensions[{1}].value",
        paper=SUN,
    ),
    "dimension_times": AnswerNumber(
        "a large dimension over the median",
        "Its size over the median size of the same token's dimensions.",
        "found[{0}].dimensions[{1}].times_median",
        paper=SUN,
    ),
}
SWITCHING = {
    "switched": AnswerNumber(
        "heads that switch",
        "Sink score above the threshold in one run and not in the other.",
        "found.switched.sum()",
        "heads",
    ),
    "heads": AnswerNumber("heads", "Query heads of all layers.", "found.switched.size", "heads"),
    "length": AnswerNumber(
        "queries", "That both sink scores are means of.", "found.length", "tokens"
    ),
    "first": AnswerNumber(
        "sink score here",
        "Mean attention to the first token, in the run that is shown.",
        'found.first["sink"][{0}, {1}]',
        axes="[L, H]",
        paper=XIAO,
    ),
    "second": AnswerNumber(
        "sink score in the other run",
        "Mean attention to the first token, in the other run.",
        'found.second["sink"][{0}, {1}]',
        axes="[L, H]",
        paper=XIAO,
    ),
}
KINDS = {
    "of_kind": AnswerNumber(
        "heads of a kind",
        "Heads for which its rule is the first that fits.",
        "(labels == LABEL_RULES[{0}].label).sum()",
        "heads",
    )
}

METHODS = {
    "beat": AnswerNumber(
        "maps that beat chance",
        "Methods whose check finds more than chance does.",
        'sum(each.verdict == "beats chance" for each in results)',
    ),
    "maps": AnswerNumber("maps", "Methods of the same units and target.", "len(results)"),
    "agreement": AnswerNumber(
        "rank correlation of two maps",
        "Spearman's, of the units' scores: 1 is the same order, 0 none.",
        "rank_correlation(np.stack([each.scores for each in results]))[{0}, {1}]",
    ),
}


def of_heavy(
    lab: Lab, run: Run, factor: float, layer: int | None = None, head: int | None = None
) -> Answer:
    """Return the accumulated attention of a head, a layer or all heads."""
    lines = (
        *_opened(run, "accumulated_chance, accumulated_mass, chosen_mean, times_noise"),
        f"mass = chosen_mean(accumulated_mass(result, {factor!r}), {layer!r}, {head!r})",
        f"times = times_noise(mass, accumulated_chance(result, {factor!r}, {layer!r}))",
    )

    def values() -> Mapping[str, Any]:
        result = _trace(lab, run.id)
        mass = chosen_mean(accumulated_mass(result, factor), layer, head)
        return {"mass": mass, "times": times_noise(mass, accumulated_chance(result, factor, layer))}

    return Answer(HEAVY, values, lines, note(lab, run))


def of_sinks(lab: Lab, run: Run, threshold: float, length: int | None, most: int) -> Answer:
    """Return the sinks of a trace at a threshold; ``length`` and ``most`` as of the view."""
    lines = (
        *_opened(run, "find_sinks, sink_rate, sink_scores"),
        f"threshold = {threshold!r}",
        f"scores = sink_scores(result, {length!r})",
        f"found = find_sinks(result, threshold, most={most})",
    )

    def values() -> Mapping[str, Any]:
        result = _trace(lab, run.id)
        return {
            "result": result,
            "threshold": threshold,
            "scores": sink_scores(result, length),
            "found": find_sinks(result, threshold, most=most),
            "sink_rate": sink_rate,
        }

    return Answer(SINKS, values, lines, note(lab, run))


def of_switching(lab: Lab, run: Run, other: Run, threshold: float, length: int | None) -> Answer:
    """Return which heads switch between a run and another one."""
    lines = (
        "from tokenarium import Lab",
        "from tokenarium.backend import compare",
        "",
        "lab = Lab()",
        f'runs = [lab.open(each).result for each in ("{run.id}", "{other.id}")]',
        f"found = compare(*runs, {threshold!r}, {length!r})",
    )

    def values() -> Mapping[str, Any]:
        found = compare(_trace(lab, run.id), _trace(lab, other.id), threshold, length)
        return {"found": found}

    return Answer(SWITCHING, values, lines, note(lab, run) or note(lab, other))


def of_kinds(
    lab: Lab, run: Run, others: Mapping[str, str], threshold: float, length: int | None
) -> Answer:
    """Return how many heads are of each kind.

    Args:
        lab: that has the runs.
        run: a trace.
        others: ids of runs by what they are to ``HeadEvidence``: ``other``, ``probe``.
        threshold: sink score above which a head is dormant.
        length: queries that a sink score is the mean of; None takes the whole text.
    """
    told = "".join(f', {name}=lab.open("{each}").result' for name, each in others.items())
    lines = (
        "from tokenarium import Lab",
        "from tokenarium.backend import LABEL_RULES, HeadEvidence, head_labels, head_measures",
        "",
        "lab = Lab()",
        f'evidence = HeadEvidence(lab.open("{run.id}").result{told}, length={length!r})',
        f"labels = head_labels(head_measures(evidence), {threshold!r})",
    )

    def values() -> Mapping[str, Any]:
        more: Any = {name: lab.open(each).result for name, each in others.items()}
        evidence = HeadEvidence(_trace(lab, run.id), length=length, **more)
        labels = head_labels(head_measures(evidence), threshold)
        return {"labels": labels, "LABEL_RULES": LABEL_RULES}

    return Answer(KINDS, values, lines, note(lab, run))


def of_methods(lab: Lab, ids: Sequence[str]) -> Answer:
    """Return how attributions of the same units by several methods stand beside each other."""
    lines = (
        "from tokenarium import Lab",
        "from tokenarium.backend import rank_correlation",
        "",
        "lab = Lab()",
        f"results = [lab.open(each).result for each in {list(ids)!r}]",
    )

    def values() -> Mapping[str, Any]:
        results = [lab.open(each).result for each in ids]
        return {"results": results, "rank_correlation": rank_correlation}

    return Answer(METHODS, values, lines, note(lab, lab.open(ids[0])))


def _opened(run: Run, names: str) -> tuple[str, ...]:
    return (
        "from tokenarium import Lab",
        f"from tokenarium.backend import {names}",
        "",
        f'result = Lab().open("{run.id}").result',
    )


def _trace(lab: Lab, run_id: str) -> TraceResult:
    result = lab.open(run_id).result
    assert isinstance(result, TraceResult)
    return result
