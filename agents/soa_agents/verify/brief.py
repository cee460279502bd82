"""Reports in few words: for a model, for telling one red run from another, for a count. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from soa_agents.verify.report import Frame, Report, TestResult
from soa_agents.workspace.ids import FunctionId

_OUTPUT = 600  # characters of what a failing test printed
_MESSAGE = 1200
_FRAMES = 6
_SAID = 400  # characters of the values in one frame
_HINT = re.compile(r"\s*|\?[\s+^-]*")  # an empty line, or difflib's marks under a line
_NOISE = re.compile(r"0x[0-9a-f]{6,}|\b\d+\.\d+ ?s\b|/tmp/\S+|line \d+")


@dataclass(frozen=True, slots=True)
class Tally:
    """How many results there are of each kind; a missing test is among `failed`."""

    passed: int
    failed: int
    skipped: int


def tally(results: Iterable[TestResult]) -> Tally:
    """Count results, green as pytest counts."""
    passed = failed = skipped = 0
    for result in results:
        passed += result.passed
        skipped += result.outcome == "skipped"
        failed += not result.passed and result.outcome != "skipped"
    return Tally(passed, failed, skipped)


def for_model(report: Report, target: FunctionId, cap: int) -> str:
    """What `target`'s author needs to see of a run, in at most `cap` characters.

    Failures that the target's own frames are part of come first; equal failures are told once. Files of the
    workspace go by their paths in it, wherever it lay when the tests ran.
    """
    failing = [r for r in report.results if not r.passed and r.outcome != "skipped"]
    count = tally(report.results)
    lines = [f"{count.passed} of {count.passed + count.failed} tests pass."]
    if report.problem and all(r.message != report.problem for r in failing):
        lines.append(report.problem)
    groups: dict[tuple[str, str], list[TestResult]] = {}
    for result in sorted(failing, key=lambda r: _distance(r, target)):
        groups.setdefault((result.outcome, _shape(result.message)), []).append(result)
    absolute = _absolute(report, target)
    text = "\n".join(lines)
    for index, group in enumerate(groups.values()):
        piece = "\n\n" + absolute.sub(r"\1", _failure(group, target))
        room = cap - len(text) - 40
        if len(piece) > room:
            if index == 0 and room > 200:
                text += piece[: room - 2] + "\n…"
                index += 1
            left = sum(len(g) for g in list(groups.values())[index:])
            return (text + (f"\n\n… and {left} more failing." if left else ""))[:cap]
        text += piece
    return text[:cap]


def _absolute(report: Report, target: FunctionId) -> re.Pattern[str]:
    """Absolute paths of the files that a report speaks of; the group is the path in the workspace."""
    paths = {target.path}
    for result in report.results:
        paths |= {result.nodeid.partition("::")[0], *(frame.path for frame in result.frames)}
        paths |= {result.doctest.path} if result.doctest else set()
    known = "|".join(re.escape(path) for path in sorted(paths, key=lambda path: (-len(path), path)) if path)
    return re.compile(rf"""(?<![\w./])/(?:[^\s"':]*/)?({known})(?![\w/])""")


def signature(report: Report) -> str:
    """The same for two runs that fail in the same way: which tests, how, and where; no addresses or times."""
    failing = sorted(
        (r.nodeid, r.outcome, _shape(r.message), r.frames[-1].function if r.frames else "")
        for r in report.results
        if not r.passed and r.outcome != "skipped"
    )
    return hashlib.sha256(repr((failing, report.fault)).encode()).hexdigest()[:16]


def _distance(result: TestResult, target: FunctionId) -> int:
    if any(_is(frame, target) for frame in result.frames):
        return 0
    return 1 if target in result.ran or result.doctest == target else 2


def _is(frame: Frame, target: FunctionId) -> bool:
    """Whether it is the target's, or that of something inside it."""
    name, own = frame.function.partition("#")[0], target.qualname.partition("#")[0]
    return frame.path == target.path and (name == own or name.startswith(f"{own}.<locals>."))


def _shape(message: str) -> str:
    return _NOISE.sub("…", message)


def _failure(group: list[TestResult], target: FunctionId) -> str:
    first = group[0]
    what = f"docstring example of {first.doctest.qualname}" if first.doctest else first.nodeid
    lines = [f"{_WORDS.get(first.outcome, first.outcome)}: {what}"]
    if len(group) > 1:
        names = ", ".join(r.nodeid.rpartition("::")[2] for r in group[1:5])
        more = f" and {len(group) - 5} more" if len(group) > 5 else ""
        lines.append(f"  (likewise {names}{more})")
    said = (line for line in first.message.splitlines() if not _HINT.fullmatch(line))
    lines += [f"  {line}" for line in _capped("\n".join(said), _MESSAGE).splitlines()]
    for frame in first.frames[-_FRAMES:]:
        mark = "  <- your function" if _is(frame, target) else ""
        lines.append(f"  at {frame.path}:{frame.line} in {frame.function}: {frame.source}{mark}")
        if frame.values and (mark or frame is first.frames[-1]):
            lines.append(f"    with {_capped(', '.join(frame.values), _SAID)}")
    if first.output.strip():
        printed = _capped(first.output.strip(), _OUTPUT)
        lines += ["  it printed:", *(f"    {line}" for line in printed.splitlines())]
    return "\n".join(lines)


_WORDS = {
    "failed": "FAILED",
    "error": "ERROR",
    "timeout": "DID NOT FINISH",
    "missing": "DID NOT RUN",
}


def _capped(text: str, cap: int) -> str:
    return text if len(text) <= cap else f"{text[: cap * 2 // 3]}\n…\n{text[-cap // 3 :]}"
