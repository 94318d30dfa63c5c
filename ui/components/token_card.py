"""The token card: every number of the chosen token, each with its definition one click away."""

import math
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from tokenarium.backend import HeadCorpus, Quantity, TraceResult
from tokenarium.ui.characters import Group, groups, spelled_bytes
from tokenarium.ui.components.usual_head import usual_head
from tokenarium.ui.shell.selection import Chosen
from tokenarium.ui.text import escape, one_line
from tokenarium.ui.why.number import Source, number, source


def token_card(result: TraceResult, chosen: Chosen, usual: HeadCorpus | None = None) -> str:
    """Return the card of the chosen token as HTML; every text in it is escaped.

    Args:
        result: a trace, or what is known of it so far.
        chosen: token, layer and head.
        usual: what the heads of its model usually do; None where that was not measured.
    """
    t, layer, head = chosen.token, chosen.layer, chosen.head
    start, stop = result.offsets[t].tolist()
    place = "added, not typed"
    if not result.special[t]:
        ends = (number(f"{end}", source("offsets", t, at)) for at, end in enumerate((start, stop)))
        place = f"characters {' to '.join(ends)}"
    place += _kind_and_turn(result, t)
    group = next((g for g in groups(result.token_text) if g.start <= t < g.stop), None)
    text = group.text if group else result.token_text[t]
    return (
        f'<section class="tk-card" aria-label="Token card">'
        f'<h2 class="tk-card-title"><span class="tk-big">{escape(one_line(text))}</span></h2>'
        f'<p class="tk-sub">token {t} of {number(f"{result.length}", source("tokens"))} · id '
        f"{number(f'{result.token_ids[t]}', source('token_ids', t))} · {place}"
        f"{_why(t, chosen.run)}</p>"
        f"{_parts(result, t, group) if group else ''}"
        f'<div class="tk-parts"><div>{_numbers(result, t)}</div>'
        f"<div>{_expectations(result, t, chosen.run)}</div>"
        f"<div>{_part(f'In layer {layer}, head {head}')}"
        f"{_head_numbers(result, t, layer, head)}"
        f"{usual_head(result, usual, layer, head) if usual else ''}</div>"
        f"</div></section>"
    )


def _why(t: int, run: str | None) -> str:
    """Return the way to what made the model expect this token."""
    if run is None or t == 0:
        return ""
    return (
        f' · <a class="tk-fork" href="why?explain={escape(run)}.{t}" '
        'title="Which words before it made the model expect it">Why this token?</a>'
    )


def _kind_and_turn(result: TraceResult, t: int) -> str:
    """Return whether token ``t`` is a special one, and which turn it belongs to."""
    found = ""
    if result.special_id is not None and result.special_id[t]:
        found += " · special token"
    if result.turn is not None and result.turn_role and result.turn[t] >= 0:
        found += f" · turn {result.turn[t]}, {escape(result.turn_role[result.turn[t]])}"
    return found


def _parts(result: TraceResult, t: int, group: Group) -> str:
    """Return the tokens of a character that was cut, with their bytes; each chooses its token."""
    tokens = range(group.start, group.stop)
    buttons = "".join(_byte_button(result, place, place == t) for place in tokens)
    return (
        f'<p class="tk-bytes">Token {t - group.start + 1} of the {len(tokens)} that spell '
        f"“{escape(one_line(group.text).strip())}”; bytes of each: {buttons}</p>"
    )


def _byte_button(result: TraceResult, place: int, chosen: bool) -> str:
    told = escape(orjson.dumps({"token": place}).decode())
    here = ' aria-current="true"' if chosen else ""
    spelled = spelled_bytes(result.token_text[place]).hex(" ").upper()
    return f'<button type="button" data-select="{told}"{here}><code>{spelled}</code></button>'


def _numbers(result: TraceResult, t: int) -> str:
    define = result.quantities()
    surprisal = float(result.surprisal_nats[t])
    rank = float(result.rank[t]) if result.rank[t] >= 0 else math.nan
    received, norms = result.received_by_token(), result.residual_norm
    found = (
        ("surprisal", surprisal, "surprisal_nats", source("surprisal_nats", t)),
        ("rank", rank, "rank", source("rank", t)),
        ("entropy after it", result.entropy_nats[t], "entropy_nats", source("entropy_nats", t)),
        ("varentropy", result.varentropy_nats2[t], "varentropy_nats2",
         source("varentropy_nats2", t)),
        ("received attention, all heads", received[t], "received_mass", source("received", t)),
        ("residual norm, last layer", norms[-1, t], "residual_norm",
         source("residual_norm", len(norms) - 1, t)),
    )  # fmt: skip
    more = {"surprisal": _chance(surprisal, t)}
    rows = [
        _row(title, float(value), define[field], of, more.get(title, ""))
        for title, value, field, of in found
    ]
    return f'<div class="tk-rows">{"".join(rows)}</div>'


@dataclass(frozen=True)
class HeadRow:
    """A number of every token in one head."""

    title: str
    definition: Quantity
    values: NDArray[np.floating]
    """[T]"""
    place: tuple[str, int, int]
    """Field, layer and head, or KV head."""

    def texts(self) -> list[str]:
        """Return [T] as they stand on the card."""
        return [_shown(value, self.definition) for value in self.values.tolist()]


def head_rows(result: TraceResult, layer: int, head: int) -> list[HeadRow]:
    """Return what the card says of a head."""
    define, group = result.quantities(), result.kv_head(layer, head)
    found = [
        ("received attention", "received_mass", head),
        ("attention entropy", "attention_entropy_nats", head),
        ("attention distance", "attention_distance", head),
    ]
    if result.learned_sink_mass is not None and result.learned_sink_measured:
        found.append(("to the learned sink", "learned_sink_mass", head))
    found += [("key norm", "key_norm", group), ("value norm", "value_norm", group)]
    return [
        HeadRow(title, define[name], getattr(result, name)[layer, place], (name, layer, place))
        for title, name, place in found
    ]


def _head_numbers(result: TraceResult, t: int, layer: int, head: int) -> str:
    rows = [
        _row(row.title, float(row.values[t]), row.definition, source(*row.place, t))
        for row in head_rows(result, layer, head)
    ]
    return f'<div class="tk-rows">{"".join(rows)}</div>'


def _expectations(result: TraceResult, t: int, run: str | None) -> str:
    parts = []
    if t > 0:
        actual = int(result.token_ids[t])
        parts.append(_part("Expected here") + _bars(result, t - 1, actual, run))
    parts.append(_part("Expected next") + _bars(result, t, None, run))
    return f'<div class="tk-expect">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def _part(title: str) -> str:
    return f'<h3 class="tk-card-part">{title}</h3>'


def _bars(result: TraceResult, row: int, actual: int | None, run: str | None, most: int = 8) -> str:
    items = []
    for place, (text, token, p) in enumerate(
        zip(
            result.top_text[row][:most],
            result.top_ids[row].tolist()[:most],
            result.top_probs[row].tolist()[:most],
            strict=True,
        )
    ):
        if not math.isfinite(p):
            continue
        chance = number(f"{100 * p:.1f} %", source("top_probs", row, place))
        hit = ' class="tk-hit" title="the token that came"' if token == actual else ""
        said = f"<code>{escape(one_line(text))}</code>"
        if run is not None and token != actual:
            said = f'<a class="tk-fork" href="decode?branch={escape(run)}.{row}.{place}">{said}</a>'
        items.append(
            f'<li{hit}><span class="tk-bar" style="width:{100 * p:.1f}%"></span>'
            f"{said}<data>{chance}</data></li>"
        )
    hint = "" if run is None else ' title="Press one: the model writes on from here with it"'
    return f'<ol class="tk-bars"{hint}>{"".join(items)}</ol>'


def _row(name: str, value: float, definition: Quantity, of: Source, extra: str = "") -> str:
    shown = _shown(value, definition)
    shown = f"{number(shown, of)}{extra}" if math.isfinite(value) else shown
    paper = f"<br><cite>{escape(definition.source)}</cite>" if definition.source else ""
    # Beside the summary, not in it: a button in what is a button itself is read by nobody.
    return (
        f'<div class="tk-row"><details><summary><span>{escape(name)}</span></summary>'
        f"<p>{escape(definition.meaning)}<br><code>{escape(definition.formula)}</code>{paper}</p>"
        f"</details><data>{shown}</data></div>"
    )


def _shown(value: float, definition: Quantity) -> str:
    if not math.isfinite(value):
        return "n/a"
    return f"{value + 0.0:.4g} {definition.unit.replace('^2', '²')}"


def _chance(surprisal: float, t: int) -> str:
    if not math.isfinite(surprisal):
        return ""
    chance = math.exp(-surprisal)
    return (
        f" <small>(p = {number(f'{chance:.2%}', source('chance', t))})</small>"
        if chance >= 1e-4
        else " <small>(p &lt; 0.01 %)</small>"
    )
