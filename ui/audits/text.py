"""An audit in words: the verdict, the text with its tokens marked, checks, notes."""

from math import isfinite

from tokenarium.backend import AuditResult
from tokenarium.ui.characters import displayed
from tokenarium.ui.components.speculate_tables import audit_badge
from tokenarium.ui.text import escape, many, one_line
from tokenarium.ui.why.number import number, source
from tokenarium.ui.why.said import NOTE, notes

MOST_TOKENS = 4_000
SIGNS = {
    "equal": "✓",
    "numeric tie": "≈",
    "wrong": "✕",
    "consistent": "✓",
    "inconclusive": "?",
    "ambiguous": "?",
}


def sentence_html(result: AuditResult, model: str) -> str:
    """Return the verdict as one sentence, and what it rests on."""
    count, name = many(len(result.token_ids), "token"), escape(model)
    words = {
        "equal": f"all {count} are what {name} itself would take.",
        "numeric tie": f"{many(result.ties, 'token is', 'tokens are')} not the likeliest, within "
        "what rounding explains.",
        "wrong": f"{name} did not write this text in the way that is stated.",
        "consistent": f"{count} look as drawn from {name} in the way that is stated.",
        "inconclusive": f"{count} are too few to tell whether they were drawn as stated.",
        "ambiguous": "only text is given, and other tokens that spell it could change the verdict.",
    }[result.verdict]
    words = words.replace(count, number(count, source("audited_tokens")), 1)
    if result.verdict == "numeric tie":
        ties = many(result.ties, "token is", "tokens are")
        words = words.replace(ties, number(ties, source("ties")), 1)
    said = (
        f'<p class="tk-sentence"><b>{SIGNS[result.verdict]} {escape(result.verdict.capitalize())}'
        f"</b>: {words}</p>"
    )
    return said + f'<p class="tk-sub">{_where(result)}{_how_sure(result)}</p>'


def _where(result: AuditResult) -> str:
    at = result.position
    if at < 0:
        return ""
    own, best = (escape(one_line(texts[at])) for texts in (result.token_text, result.best_text))
    return (
        f"Token {number(str(at), source('position'))} is <code>{own}</code>, "
        f"{number(f'{result.gap_nats:.3g} nats', source('gap_nats'))} behind <code>{best}</code>; "
        f"the tolerance is {number(f'{result.tolerance_nats:g}', source('tolerance_nats'))}. "
    )


def _how_sure(result: AuditResult) -> str:
    if not isfinite(result.p_value):
        return ""
    return (
        f"p = {number(f'{result.p_value:.2g}', source('p_value'))}; a text of this length drawn at "
        f"3/4 or 4/3 of the temperature would be found with a chance of "
        f"{number(f'{result.power:.2f}', source('power'))} or more."
    )


def tokens_html(result: AuditResult) -> str:
    """Return the text, each token marked by how it stands; pointed at, it says its numbers."""
    greedy = not isfinite(result.p_value)
    spans = []
    shown = displayed(result.token_text)[:MOST_TOKENS]
    for at, text in enumerate(shown):
        gap, rank = float(result.gap[at]), int(result.rank[at])
        mark = ""
        if greedy and gap > 0:
            mark = "wrong" if gap > result.tolerance_nats else "tie"
        elif at == result.position:
            mark = "wrong"
        title = (
            f"token {at}, rank {rank}, {gap:.3g} nats behind "
            f"{one_line(result.best_text[at])}, ln p = {result.logprob[at]:.2f}"
        )
        spans.append(
            f'<span class="tk-judged" data-mark="{mark}" title="{escape(title)}">'
            f"{escape(text or '')}</span>"
        )
    more = len(result.token_text) - len(shown)
    rest = f" and {more:,} more" if more > 0 else ""
    key = (
        '<p class="tk-sub">Red: farther from the likeliest than rounding explains, or never '
        "drawn. Amber: a numeric tie. Point at a token for its numbers.</p>"
    )
    return (
        f'<div class="tk-said" role="region" tabindex="0" aria-label="Generated text">'
        f"{''.join(spans)}{rest}</div>{key}"
    )


def checks_html(result: AuditResult) -> str:
    """Return the checks with their evidence, and notes."""
    about = "What the verdict rests on: the model read the text once."
    return audit_badge(result.audit, about) + notes(result, tag=NOTE)
