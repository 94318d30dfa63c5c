"""What was measured, a line of JSON each as it comes, and the table made of it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.timing import Measured

_COLUMNS = "| Part | What | Model | Tokens | Format | ms p20 / p50 / p80 | Ratio | MiB | Remarks |"


class Journal:
    """Lines of a file, each a measurement, a result of tests, a fact or a problem."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def clear(self) -> None:
        """Forget all lines."""
        self.file.write_text("")

    def add(self, **values: Any) -> None:
        """Keep a line, and say it."""
        with self.file.open("a") as lines:
            print(json.dumps(values), file=lines)
        self.say(" ".join(f"{value}" for value in values.values() if value not in ("", None)))

    def measured(
        self,
        rows: dict[str, Measured],
        peaks: dict[str, int] | None = None,
        remarks: dict[str, str] | None = None,
        **where: Any,
    ) -> None:
        """Keep jobs timed side by side; ratios are to the first."""
        base, *_ = rows
        for name, row in rows.items():
            ms, ratio = ([own.p20, own.p50, own.p80] for own in (row.ms, row.ratio))
            peak = None if peaks is None else peaks.get(name)
            self.add(
                **where,
                what=name,
                ms=[round(value, 4) for value in ms],
                ratio=[round(value, 3) for value in ratio],
                base=base,
                mib=None if peak is None else round(peak / 2**20, 1),
                remark=(remarks or {}).get(name, ""),
            )

    def lines(self) -> list[dict[str, Any]]:
        """Return all lines."""
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def say(self, what: str) -> None:
        """Print something with the time of day."""
        print(f"[{datetime.now(UTC):%H:%M:%S}] {what}", flush=True)


def markdown(lines: list[dict[str, Any]], commit: str) -> str:
    """Return the heading, the tests and one table of all measurements."""
    facts = {key: value for line in lines for key, value in line.get("facts", {}).items()}
    facts |= {"commit": commit} if commit else {}
    facts["date"] = datetime.now(UTC).date().isoformat()
    parts = ["; ".join(f"{key} {value}" for key, value in facts.items()) + "."]
    tests = [line for line in lines if "tests" in line]
    parts += [f"Tests: {line['tests']}." for line in tests]
    failed = [f"- `{name}`" for line in tests for name in line["failed"]]
    parts += ["\n".join(failed)] if failed else []
    parts += [
        "A ratio is a time over that of the row above that has 1, in the same rounds: below 1 is "
        "faster. MiB are the most taken above what was held before; of policies, what the cache "
        "holds."
    ]
    rows = [_row(line) for line in lines if "ms" in line or "problem" in line]
    head = f"{_COLUMNS}\n{'|---' * (_COLUMNS.count('|') - 1)}|"
    return "\n\n".join([*parts, "\n".join([head, *rows])]) + "\n"


def _row(line: dict[str, Any]) -> str:
    where = [line.get(key, "") for key in ("section", "what", "model", "tokens", "dtype")]
    if "problem" in line:
        said = str(line["problem"]).replace("|", "/").replace("\n", " ")
        return "| " + " | ".join(map(str, [*where, "", "", "", f"**failed**: {said}"])) + " |"
    times = " / ".join(f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in line["ms"])
    low, middle, high = line["ratio"]
    ratio = "1" if line["what"] == line["base"] else f"{middle:.2f} ({low:.2f} to {high:.2f})"
    memory = "" if line["mib"] is None else f"{line['mib']:.0f}"
    remark = line["remark"]
    if line["what"] == line["base"]:
        remark = f"the ratios' 1{'; ' if remark else ''}{remark}"
    return "| " + " | ".join(map(str, [*where, times, ratio, memory, remark])) + " |"
