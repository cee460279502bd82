"""What went wrong with a run as a whole, in one sentence for a person."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from soa_agents.settings import Limits, TestSettings
from soa_agents.verify.guard import configuration
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
_WARNS = re.compile(r"^\S*(?<!Config)Warning\b|warnings\.warn|: \w*Warning: ")
_PLUGIN_MISSING = ("Missing required plugins", "importing plugin", "unrecognized arguments", "config option")
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
        said = f"The run changed {run.prefix}{changed[0]}, so it proves nothing."
        return "tampered", f"{said} Try again, or look at what the program writes."
    if session.forged or not session.fails:
        what = "reports that pytest did not make" if session.forged else "a test that must fail passed"
        return "tampered", f"The run proves nothing: {what}. Look at what the program changes in pytest."
    if ended.killed and ended.killed != "stopped":
        return _killed(run, session, ended)
    if session.status is None or session.status == _USAGE:
        return _ended_early(run, session, ended)
    if session.status == _INTERRUPTED and (session.running or session.tests):
        last = run.prefix + (session.running or session.tests[-1]["nodeid"])
        return "died", f"{last} interrupted the whole run; {_AFTER} {_LEAVE}"
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
    if not session.running:
        return "hang", _still_collecting(run, session)
    said = f"{name} did not finish within {run.settings.timeout_seconds:g} s and could not be interrupted"
    said = f"{said}{_at(run, session)}; {_AFTER}"
    return "hang", f"{said} Raise soa.tests.timeoutSeconds or leave it out with soa.tests.args."


def _still_collecting(run: Run, session: Session) -> str:
    where = f" while it read {run.prefix}{session.collecting}" if session.collecting else ""
    said = f"pytest had not collected the tests in time and was stopped{where}{_at(run, session)}."
    return f"{said} Look what takes so long there, or raise soa.tests.timeoutSeconds."


def _at(run: Run, session: Session) -> str:
    """The innermost line of the workspace that hung, as the end of a clause."""
    found = session.hung_in()
    return f", at {run.prefix}{found[-1][0]}:{found[-1][1]} in {found[-1][2]}" if found else ""


def _how(status: int) -> str:
    """How the test process ended: by itself, or by a signal."""
    number = status - 128 if status > 128 else -status
    killed = number in {each.value for each in signal.Signals}
    how = (
        f"was killed by {signal.Signals(number).name}"
        if killed
        else f"ended by itself (exit status {status})"
    )
    return f"The test process {how}"


def _ended_early(run: Run, session: Session, ended: Ended) -> tuple[Fault, str]:
    if "No module named pytest" in ended.output:
        said = f"pytest is not installed in {_shown(run)}, which runs this workspace's tests."
        return "no_pytest", f"{said} Install it there, or set soa.tests.interpreter."
    if session.running or session.tests:
        said = f"{_how(ended.status)}{run.while_running(session)};"
        return "died", f"{said} {_AFTER} {_LEAVE}"
    reason = _refusal(ended.output)
    if session.root and not reason:
        what = f"{run.prefix}{session.collecting}" if session.collecting else "a conftest.py or a plugin"
        said = f"{_how(ended.status)} while it read {what}."
        return "refused", f"{said} Something there ends the process when it is imported: mend that first."
    said = f"pytest did not start: {reason or _last_line(ended.output)}{_configured(run, reason)}."
    if any(word in reason for word in _PLUGIN_MISSING):
        return "refused", f"{said} Install the plugin in {_shown(run)}, or change that."
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


def _shown(run: Run) -> Path:
    """The interpreter as a person knows it."""
    path = run.interpreter
    return path.relative_to(run.root) if path.is_relative_to(run.root) else path


def _configured(run: Run, reason: str) -> str:
    """Which configuration decides, where it is not the folder's own and was not named yet."""
    found = configuration(run.root)
    told = found is None or found.is_relative_to(run.root) or str(found) in reason
    return "" if told else f" (as {found} wants it)"


def _refusal(output: str) -> str:
    """The line that says why, out of what pytest prints when it does not start; empty when none does."""
    lines = [line.strip().removeprefix("INTERNALERROR> ") for line in output.splitlines() if line.strip()]
    for pattern in _REASONS:
        found = [m.group(1) for line in lines if (m := re.search(pattern, line)) and not _WARNS.search(line)]
        if found:
            return _short(found[-1])
    raised = [line for line in lines if "Traceback (most" in output and re.match(r"[\w.]+Warning: ", line)]
    return _short(raised[-1]) if raised else ""


def _last_line(output: str) -> str:
    return _short(output.strip().rpartition("\n")[2].strip() or "it printed nothing")


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
