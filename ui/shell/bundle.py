"""The part of plotly.js that the figures need, cut out of the whole that the package carries.

``plotly.min.js`` has every kind of trace, WebGL and maps among them: 4.8 MB, of which a browser
must read each byte before the first figure. Its statements are modules, each a function that runs
when another one asks for it, so those that nothing asks for can be left out. What is left is the
package's own text, unchanged but for the list of traces that it registers.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

TRACES = ("bar", "heatmap")
"""What the figures draw beside scatter, which is always there."""
_LITERALS = (
    r'"(?:[^"\\\n]|\\.)*"',
    r"'(?:[^'\\\n]|\\.)*'",
    # A template, with what stands in its ${}, and templates in there.
    r"`(?:[^`\\$]|\\.|\$(?!\{)|\$\{(?:[^{}`]|\{[^{}]*\}|`(?:[^`\\]|\\.)*`)*\})*`",
    r"/\*.*?\*/",
    # A regular expression: a slash where no division can be.
    r"(?:(?<=[(,=:\[!&|?{};+\-*%~^<>\n])|(?<=return))"
    r"/(?![*/])(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/",
)
_LITERAL = re.compile("|".join(_LITERALS), re.DOTALL)
_TOKEN = re.compile("|".join((*_LITERALS, r"[{}()\[\];,]")), re.DOTALL)
_OPEN, _CLOSE = "{([", "})]"
_BEGIN, _END = '"use strict";var Plotly=(()=>{', "})();\n"
_STATEMENT = re.compile(r"(?:async )?(?:var|function|class) ?\*?([\w$]+)|Fp\(([\w$]+),|return ")
_MODULE = re.compile(r"var ([\w$]+)=W\(")
_REGISTERED = re.compile(r"\.register\(\[((?:[\w$]+\(\),?)+)\]\)")
_TRACE = re.compile(r'moduleType:"trace",name:"(\w+)"')
_SAME = re.compile(r"exports=([\w$]+)\(\)")
_KEY = re.compile(r"(?<=[{,])[\w$]+:")
_NAME = re.compile(r"(?<![.\w$])[A-Za-z_$][\w$]+")
_IN_TEMPLATE = re.compile(r"\$\{((?:[^{}]|\{[^{}]*\})*)\}")


def bundle(whole: str, traces: Sequence[str] = TRACES) -> str:
    """Return a plotly.js that knows scatter and the given traces.

    Args:
        whole: the text of ``plotly.min.js``.
        traces: names, as figures have them in ``type``.

    Returns:
        The whole, where it is not put together in the way that is known here.
    """
    try:
        begin, end = whole.index(_BEGIN) + len(_BEGIN), whole.rindex(_END)
        statements = [whole[a:b] for a, b in _spans(whole, begin, end)]
        kept = "".join(_needed(statements, traces))
    except (LookupError, ValueError, StopIteration):
        return whole
    licence = whole[: whole.index("*/") + 2]
    others = whole[end + len(_END) : whole.rindex("window.Plotly")]
    # In brackets, the function is compiled while it comes, beside the page's own work.
    return f"{licence}\n{_BEGIN}{kept}{_END}{others}"


def _spans(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where each statement of the outermost function stands."""
    depth, last = 0, begin
    for found in _TOKEN.finditer(text, begin, end):
        sign = found[0]
        depth += (sign in _OPEN) - (sign in _CLOSE)
        if depth == 0 and (sign == ";" or (sign == "}" and _STATEMENT.match(text, found.end()))):
            yield last, found.end()
            last = found.end()
    if depth or last != end:
        raise ValueError("brackets do not match")


def _needed(statements: list[str], traces: Sequence[str]) -> list[str]:
    """Return the statements that the given traces use, in their order.

    Raises:
        LookupError: if a statement or a trace is not found as it should be.
    """
    defined = defaultdict(set)
    for number, statement in enumerate(statements):
        for name in _defined(statement):
            defined[name].add(number)
    places = (n for n, statement in enumerate(statements) if _REGISTERED.search(statement))
    *_, register = places
    calls = _wanted(statements, defined, register, traces)
    listed = f".register([{','.join(calls)}])"
    statements[register] = _REGISTERED.sub(lambda _: listed, statements[register], count=1)
    # Before the first module stand the few functions that put modules together; the last one runs.
    first = next(n for n, statement in enumerate(statements) if _MODULE.match(statement))
    seen, todo = set(range(first)), {len(statements) - 1}
    while todo:
        number = todo.pop()
        seen.add(number)
        for name in _used(statements[number]) & defined.keys():
            todo |= defined[name] - seen
    return [statements[number] for number in sorted(seen)]


def _wanted(
    statements: list[str], defined: dict[str, set[int]], register: int, traces: Sequence[str]
) -> list[str]:
    """Return the calls that register the given traces."""
    found = {}
    listed = _REGISTERED.search(statements[register])
    for call in listed[1].split(",") if listed else ():
        (number,) = defined[call.removesuffix("()")]
        if same := _SAME.search(statements[number]):
            (number,) = defined[same[1]]
        if trace := _TRACE.search(statements[number]):
            found[trace[1]] = call
    return [found[trace] for trace in traces]


def _defined(statement: str) -> Iterator[str]:
    """Yield the names that a statement of the outermost function defines.

    Raises:
        LookupError: if it is none of the kinds that are known here.
    """
    known = _STATEMENT.match(statement)
    if known is None:
        raise LookupError(statement[:40])
    if known[1] or known[2]:
        yield known[1] or known[2]
    if not statement.startswith("var ") or _MODULE.match(statement):
        return
    depth = 0
    for found in _TOKEN.finditer(statement):
        depth += (found[0] in _OPEN) - (found[0] in _CLOSE)
        if depth == 0 and found[0] == "," and (name := _NAME.match(statement, found.end())):
            yield name[0]


def _used(statement: str) -> set[str]:
    """Return the names in a statement; those of one letter are its own."""
    code = _LITERAL.sub(_spoken, statement)
    return set(_NAME.findall(_KEY.sub("", code)))


def _spoken(literal: re.Match[str]) -> str:
    """Return what of a literal is code: what a template has in its ``${}``."""
    inside = _IN_TEMPLATE.findall(literal[0]) if literal[0].startswith("`") else ()
    return " ".join(inside) or '""'
