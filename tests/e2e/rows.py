"""The table of the end-to-end runs: kept by the tests, written into README.md by this command.

    python tests/e2e/rows.py

Each project's last rows lie in `.cache/`, so the table can be made of runs in several processes.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

KEPT = Path(__file__).parents[2] / ".cache" / "e2e" / "rows"
README = Path(__file__).with_name("README.md")
MARK = "<!-- the last run -->\n"


@dataclass(frozen=True, slots=True)
class Row:
    """One case as it went: tests that count for the function, rounds of feedback, model calls, seconds."""

    project: str
    function: str
    tests: int
    rounds: int
    calls: int
    seconds: float


def keep(project: str, found: Iterable[Row]) -> None:
    """Remember a project's rows."""
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{project}.json").write_text(json.dumps([asdict(row) for row in found]))


def kept() -> list[Row]:
    """The rows of every project's last run."""
    return [Row(**row) for path in sorted(KEPT.glob("*.json")) for row in json.loads(path.read_text())]


def table(found: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| project | function | tests found | rounds | calls | seconds |",
        "| --- | --- | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {r.project} | `{r.function}` | {r.tests} | {r.rounds} | {r.calls} | {r.seconds:.1f} |"
        for r in found
    ]
    return "\n".join(lines)


def main() -> None:
    """Write the table into README.md, below its mark."""
    text = README.read_text().partition(MARK)[0]
    where = f"Python {platform.python_version()} on {platform.system()}"
    README.write_text(f"{text}{MARK}\n{where}.\n\n{table(kept())}\n")


if __name__ == "__main__":
    main()
