"""What went wrong with a run as a whole, in one sentence for a person."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soa_agents.settings import Limits, TestSettings
from soa_agents.verify.records import Session
from soa_agents.verify.report import Fault
from soa_agents.verify.sandbox import Ended
from soa_agents.verify.tree import is_environment
from soa_agents.workspace.snapshot import is_test_file

_INTERRUPTED, _INTERNAL, _USAGE = 2, 3, 4  # pytest's exit statuses
_AFTER = "the tests after it did not run."
_LEAVE = "Leave that test out with soa.tests.args."
_REASONS = (
    r"^E\s{2,}(.+)",
    r"^__main__\.py: error: (.+)",
    r"error: (.+)",
    r"^ERROR:? (.+)",
    r"^([\w.]*(?:Error|Exception|Warning).*)",
)
_LONG = 300  # characters of somebody else's words in a sentence


@dataclass(frozen=True, slots=True)
class Run:
    """What was run, for the sentences."""

    root: Path
    prefix: str
    interpreter: Path
    settings: TestSettings
    limits: Limits
    everything: bool = False

    def while_running(self, session: Session) -> str:
        """The words for the test that was running, if one was."""
        return f" while {self.prefix}{session.running} ran" if session.running else ""


def diagnose(run: Run, session: Session, ended: Ended, changed: tuple[str, ...]) -> tuple[Fault, str]:
    """The fault of a run and the sentence for it; two empty strings when it went well, red tests included."""
    if changed:
        said = f"The run changed {run.prefix}{changed[0]} before it was read, so it proves nothing."
        return "tampered", f"{said} Try again, or look at what the program writes."
    if ended.killed and ended.killed != "stopped":
        return _killed(run, session, ended)
    if session.status is None or session.status == _USAGE:
        return _ended_early(run, session, ended)
    if session.status == _INTERRUPTED and session.running:
        return "died", f"{run.prefix}{session.running} interrupted the whole run; {_AFTER} {_LEAVE}"
    if session.status == _INTERNAL:
        said = f"pytest itself failed: {_refusal(ended.output)}."
        return "died", f"{said} Run python -m pytest in a terminal to see the whole."
    if run.everything and session.collected == 0:
        return _nothing(run, session)
    return "", ""


def _killed(run: Run, session: Session, ended: Ended) -> tuple[Fault, str]:
    name, at = run.prefix + session.running, run.while_running(session)
    match ended.killed:
        case "memory":
            said = f"The tests used more than {run.limits.memory_mb} MB and were stopped{at}."
            return "memory", f"{said} Raise soa.limits.memoryMb, or leave tests out with soa.tests.args."
        case "files":
            said = f"The tests wrote more than {run.limits.memory_mb} MB of files and were stopped{at}."
            return "memory", f"{said} Raise soa.limits.memoryMb, or leave tests out with soa.tests.args."
        case "processes":
            return "processes", f"The tests started too many processes and were stopped{at}. {_LEAVE}"
        case "time":
            said = f"The tests did not finish within {run.limits.seconds:g} s and were stopped{at}."
            return "time", f"{said} Raise soa.limits.seconds, or leave tests out with soa.tests.args."
    said = f"{name} did not finish within {run.settings.timeout_seconds:g} s and could not be interrupted"
    return "hang", f"{said}; {_AFTER} Raise soa.tests.timeoutSeconds or leave it out with soa.tests.args."


def _ended_early(run: Run, session: Session, ended: Ended) -> tuple[Fault, str]:
    if "No module named pytest" in ended.output:
        path = run.interpreter
        shown = path.relative_to(run.root) if path.is_relative_to(run.root) else path
        said = f"pytest is not installed in {shown}, which runs this workspace's tests."
        return "no_pytest", f"{said} Install it there, or set soa.tests.interpreter."
    if session.running or session.tests:
        said = f"The test process ended by itself (exit status {ended.status}){run.while_running(session)};"
        return "died", f"{said} {_AFTER} {_LEAVE}"
    said = f"pytest did not start: {_refusal(ended.output)}."
    return "refused", f"{said} Mend that; soa.tests.args and pytest's configuration decide how it starts."


def _nothing(run: Run, session: Session) -> tuple[Fault, str]:
    first = next(iter(session.broken.values()), "")
    place = next(_test_files(run.root), "")
    if not place and not first:
        return "no_tests", "This workspace has no tests. Write one that shows what the function should do."
    where = place.partition("/")[0] + "/" if "/" in place else place
    told = f': "{_last(first)}"' if first else ""
    said = f"pytest collects no tests in this workspace although {where or 'test files'} exists{told}."
    return "nothing_collected", f"{said} Mend that first."


def _refusal(output: str) -> str:
    """The line that says why, out of what pytest prints when it does not start."""
    lines = [line.strip().removeprefix("INTERNALERROR> ") for line in output.splitlines() if line.strip()]
    for pattern in _REASONS:
        found = [m.group(1) for line in lines if (m := re.search(pattern, line))]
        if found:
            return _short(found[-1])
    return _short(lines[-1]) if lines else "it printed nothing"


def _short(line: str) -> str:
    return line.rstrip(".") if len(line) <= _LONG else f"{line[:_LONG]}…"


def _last(text: str) -> str:
    """The telling line of a collection error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return (marked or lines or [""])[-1]


def _test_files(root: Path) -> Iterator[str]:
    """Test files of the folder, as far as one look into it tells."""
    for where, folders, files in os.walk(root):
        here = Path(where)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not is_environment(here / f))
        for name in sorted(files):
            path = (here / name).relative_to(root).as_posix()
            if (
                name.endswith(".py")
                and name != "conftest.py"
                and is_test_file(path)
                and name != "__init__.py"
            ):
                yield path
