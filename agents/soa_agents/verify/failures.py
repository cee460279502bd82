"""What a failed test says: its message, where it failed and with which values. Copied beside the tests.

Python 3.9 or newer, standard library only; pytest's own objects come in as they are.
"""

from __future__ import annotations

import dis
import errno
import inspect
import linecache
import os
import re
import reprlib
import traceback
from collections.abc import Callable, Iterator
from typing import Any

MANY_FRAMES = 20
_SHOWN = 4  # innermost frames whose values are told
_VALUES = 10  # of one frame
_LINES, _LONG = 8, 240  # of one statement, and characters
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DOCTEST_PROBLEMS = ("DocTestFailure", "MultipleDoctestFailures", "UnexpectedException")
_NOWHERE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})
_NO_SOCKETS = frozenset({errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT})  # where even a local one is refused
_FULL = frozenset({errno.ENOSPC, errno.EFBIG})
_NO_NETWORK = "needs the network, which tests do not have here"
_NO_ROOM = "the disk of this run is full; what tests may write is bounded by soa.limits.memoryMb"


def message(excinfo: Any, report: Any, cap: int) -> str:
    """The assertion or exception and what caused it, in at most `cap` characters."""
    if excinfo.typename in _DOCTEST_PROBLEMS:
        return capped(report.longreprtext, cap)
    if excinfo.typename == "FixtureLookupError":
        return str(getattr(report.longrepr, "errorstring", excinfo.exconly())).splitlines()[0]
    lines = [excinfo.exconly(tryshort=True)]
    lines += [f"  {_only(problem)}" for problem in getattr(excinfo.value, "exceptions", ())]
    causes = list(_chain(excinfo.value))
    lines += [f"caused by {_only(problem)}" for problem in causes[1:4]]
    if any(getattr(problem, "errno", None) in _FULL for problem in causes):
        lines.append(_NO_ROOM)
    # Addresses differ between runs that are otherwise the same.
    return capped(_ADDRESS.sub("", "\n".join(lines)), cap)


def offline(problem: BaseException) -> str:
    """Why this failure is the missing network's and not the test's; empty when it is not.

    What the code under test raises itself does not count: it could hide behind that.
    """
    for cause in _chain(problem):
        if _is_offline(cause) and not _raised_here(cause):
            return f"{_NO_NETWORK}: {_only(cause)}"
    return ""


def _is_offline(problem: BaseException) -> bool:
    if not isinstance(problem, OSError):
        return False
    if type(problem).__name__ == "gaierror" or problem.errno in _NOWHERE:
        return True
    where = traceback.extract_tb(problem.__traceback__, limit=-1)
    refused = problem.errno in _NO_SOCKETS
    return refused and bool(where) and os.path.basename(where[0].filename) == "socket.py"  # noqa: PTH119


def _raised_here(problem: BaseException) -> bool:
    """Whether a `raise` statement outside installed code made it, or nobody can tell what did."""
    last = problem.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return True
    code = last.tb_frame.f_code
    raised = code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    installed = os.path.dirname(os.__file__) in code.co_filename or "-packages" in code.co_filename  # noqa: PTH120
    return raised and not installed


def _chain(problem: BaseException) -> Iterator[BaseException]:
    """The exception and what led to it, as a traceback would show it."""
    seen: set[int] = set()
    now: BaseException | None = problem
    while now is not None and id(now) not in seen:
        yield now
        seen.add(id(now))
        now = now.__cause__ or (None if now.__suppress_context__ else now.__context__)


def traceback_of(excinfo: Any) -> Any:
    """The traceback of what went wrong: for a docstring example that of the exception inside it."""
    for failure in getattr(excinfo.value, "failures", [excinfo.value]):
        inner = getattr(failure, "exc_info", None)
        if inner is not None:
            return inner[2]
    return excinfo.tb


def frames(tb: Any, relative: Callable[[str], str | None]) -> list[Any]:
    """The workspace's frames, outermost first.

    Each as path, line, name, source line, line of the definition, and for the innermost some values.
    """
    found = []
    while tb is not None:
        code = tb.tb_frame.f_code
        path = None if code.co_filename.startswith("<") else relative(code.co_filename)
        if path is not None:
            source = _statement(code.co_filename, tb.tb_lineno)
            name = getattr(code, "co_qualname", code.co_name)
            found.append(([path, tb.tb_lineno, name, source, code.co_firstlineno], tb.tb_frame))
        tb = tb.tb_next
    if len(found) > MANY_FRAMES:
        found = found[: MANY_FRAMES // 4] + found[-(MANY_FRAMES - MANY_FRAMES // 4) :]
    shown = len(found) - _SHOWN
    return [[*told, _values(frame) if n >= shown else []] for n, (told, frame) in enumerate(found)]


def _statement(file: str, line: int) -> str:
    """What stands at `line`, with the lines that its brackets go on to, as one line."""
    text = ""
    for number in range(line, line + _LINES):
        text = f"{text} {linecache.getline(file, number).strip()}".strip()
        if sum(map(text.count, "([{")) <= sum(map(text.count, ")]}")):
            break
    return text[:_LONG]


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 80
_repr.maxlevel = 3


def _values(frame: Any) -> list[str]:
    """`name = value` of what a frame holds, values cut short; what says nothing is left out."""
    told = []
    for name, value in list(frame.f_locals.items()):
        dull = inspect.ismodule(value) or inspect.isroutine(value) or inspect.isclass(value)
        if dull or not name.isidentifier() or name.startswith("__"):
            continue
        text = _repr.repr(value)
        if "\n" not in text and not text.startswith("<"):
            told.append(f"{name} = {text}")
    return told[:_VALUES]


def hung_at(found: list[Any]) -> str:
    """Where a test was when its time was up, as the end of a sentence."""
    return "; it was at {}:{} in {}".format(*found[-1][:3]) if found else ""


def _only(problem: BaseException) -> str:
    return "".join(traceback.format_exception_only(type(problem), problem)).strip()


def capped(text: str, cap: int) -> str:
    """The beginning and the end of a text that is too long."""
    return text if len(text) <= cap else text[: cap * 3 // 4] + "\n…\n" + text[-cap // 4 :]


def tail(text: str, cap: int) -> str:
    """The end of a text that is too long."""
    return text if len(text) <= cap else "…\n" + text[-cap:]
