"""The tests of a function as text: which ones to show, what they use, what they said. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from soa_agents.swarm.material import Focus, Piece
from soa_agents.swarm.skim import Skim, class_line, code_of, indented, skim, words
from soa_agents.verify.report import Report, TestResult
from soa_agents.workspace.functions import Function
from soa_agents.workspace.ids import FunctionId

_INDIRECT = 6  # tests shown of a function that no test names
_SETUP = ("setUp", "setUpClass", "setup_method", "setup_class", "setup")
_LONG_SUPPORT = 1800  # characters of a fixture or helper of tests that is shown


@dataclass(frozen=True, slots=True)
class Shown:
    """A test function that is shown, where it stands, and whether it fails."""

    file: Skim
    function: Function
    failing: bool

    @property
    def source(self) -> str:
        """Its whole source; a method stands inside its class line."""
        text = code_of(self.file.text, self.function)
        if not self.function.owner:
            return text
        return f"{class_line(self.file, self.function.owner)}\n{indented(text)}"


def tests_of(
    focus: Focus, texts: Mapping[str, str], listed: Iterable[str], reports: Iterable[Report]
) -> tuple[Shown, ...]:
    """The tests to show: those that name the function, else those seen to run it that run little else.

    `listed` are node ids known beforehand; `reports` say which tests ran it and which of them failed.
    """
    ran: dict[FunctionId, TestResult] = {}
    for report in reports:
        for result in report.tests:
            if focus.function in result.ran:
                known = ran.get(test_id(result.nodeid))
                if known is None or known.passed:
                    ran[test_id(result.nodeid)] = result
    candidates = dict.fromkeys([*map(test_id, listed), *ran])
    found = [s for test in candidates if (s := _shown(test, texts, ran))]
    naming = [s for s in found if _names(focus, s)]
    direct = [s for s in naming if s.function.id in ran] or naming
    if not direct:
        reaching = (s for s in found if s.function.id in ran)
        indirect = sorted(reaching, key=lambda s: (not s.failing, len(ran[s.function.id].ran)))
        direct = indirect[:_INDIRECT]
    return tuple(sorted(direct, key=lambda s: (s.file.path, s.function.span.start)))


def test_id(nodeid: str) -> FunctionId:
    """The function behind a pytest node id, whatever its parameters."""
    path, _, rest = nodeid.partition("::")
    return FunctionId(path, rest.partition("[")[0].replace("::", "."))


def levels(tests: tuple[Shown, ...]) -> tuple[str, ...]:
    """The tests as text, ever shorter: all, the failing ones, their assertions, fewer of these."""
    failing = tuple(t for t in tests if t.failing) or tests
    lines = [_assertions(t) for t in failing]
    fewer = [_joined(lines[: len(lines) // n]) for n in (2, 4, 8, 16, 32) if len(lines) >= n]
    return (_together(tests), _together(failing), _joined(lines), *fewer)


def support(tests: tuple[Shown, ...], texts: Mapping[str, str]) -> tuple[Piece, ...]:
    """What the shown tests use: fixtures, set-up methods, helpers and constants of their files, imports."""
    pieces: list[Piece] = []
    for file in dict.fromkeys(t.file for t in tests):
        mine = [t for t in tests if t.file is file]
        used = words("\n".join(t.source for t in mine))
        asked = words("\n".join(_asked(t) for t in mine))
        pieces += [Piece(f"# {file.path}", len(pieces) * 100)]
        found = [*_setups(file, mine), *_helpers(file, used, mine), *_fixtures(file, asked, texts)]
        place = len(pieces) * 100
        pieces += [Piece(b.source, place + 1) for b in file.bindings if b.names & used]
        pieces += [Piece(text[:_LONG_SUPPORT], place + 2 + n) for n, text in enumerate(found)]
    return tuple(pieces) if len(pieces) > len({t.file.path for t in tests}) else ()


def relevant(report: Report, baseline: Report, functions: frozenset[FunctionId]) -> Report:
    """The part of a report that says something about `functions`: what ran them, and what broke.

    Nothing but passing tests is left when no failure has to do with them.
    """
    passing = {r.nodeid for r in baseline.results if r.passed}

    def counts(result: TestResult) -> bool:
        if result.doctest is not None:
            return result.doctest in functions
        on_stack = {FunctionId(f.path, f.function) for f in result.frames}
        return bool(functions & {*result.ran, *on_stack}) or result.nodeid in passing

    known = {r.nodeid for r in baseline.results}
    kept = tuple(r for r in report.results if counts(r))
    if all(r.passed for r in kept):
        kept = tuple(r for r in report.results if r.passed or r.nodeid not in known)
    return replace(report, results=kept)


def _shown(test: FunctionId, texts: Mapping[str, str], ran: Mapping[FunctionId, TestResult]) -> Shown | None:
    text = texts.get(test.path)
    if text is None:
        return None
    file = skim(test.path, text)
    function = file.function(test.qualname)
    return Shown(file, function, test in ran and not ran[test].passed) if function else None


def _names(focus: Focus, shown: Shown) -> bool:
    """Whether the test spells the function's name, or its class's where Python itself calls the method."""
    name = focus.function.name
    if name.startswith("__") and name.endswith("__") and focus.owner:
        name = focus.owner.rpartition(".")[2]
    return re.search(rf"\b{re.escape(name)}\b", shown.source) is not None


def _together(tests: tuple[Shown, ...]) -> str:
    """Whole tests, methods of one class under one class line, files told apart when there are several."""
    several = len({t.file.path for t in tests}) > 1
    parts: list[str] = []
    path, owner = "", None
    for test in tests:
        if several and test.file.path != path:
            parts.append(f"# {test.file.path}")
            owner = None
        path = test.file.path
        text = code_of(test.file.text, test.function)
        if not test.function.owner:
            parts.append(text)
        elif test.function.owner == owner:
            parts.append(indented(text))
        else:
            parts.append(test.source)
        owner = test.function.owner
    return "\n\n".join(parts)


def _assertions(test: Shown) -> str:
    """A test's first line and those of its lines that assert."""
    lines = code_of(test.file.text, test.function).split("\n")
    first = next((line for line in lines if re.match(r"(async\s+)?def\b", line)), lines[0])
    told = [line for line in lines if re.search(r"\bassert|\braises\(|\.assert\w+\(", line)]
    return "\n".join([first, *(line[:300] for line in told[:12])])


def _joined(lines: list[str]) -> str:
    return "\n".join(["# Shortened to what is asserted.", *lines]) if lines else ""


def _setups(file: Skim, tests: list[Shown]) -> Iterator[str]:
    owners = {t.function.owner for t in tests if t.function.owner}
    for function in file.functions:
        if function.owner in owners and function.id.name in _SETUP:
            yield f"{class_line(file, function.owner)}\n{indented(code_of(file.text, function))}"


def _asked(test: Shown) -> str:
    """Where a test names its fixtures: its decorators and parameters."""
    return test.file.text[test.function.span.start : test.function.signature.end]


def _helpers(file: Skim, used: frozenset[str], tests: list[Shown]) -> Iterator[str]:
    shown = {t.function.id for t in tests}
    for function in file.functions:
        own = "." not in function.id.qualname and function.id not in shown
        if own and function.id.name in used and not _is_fixture(function):
            yield code_of(file.text, function)


def _fixtures(file: Skim, asked: frozenset[str], texts: Mapping[str, str]) -> Iterator[str]:
    """Fixtures the tests name, from their file and the `conftest.py` files above it."""
    files = [file]
    folder = posixpath.dirname(file.path)
    while True:
        path = posixpath.join(folder, "conftest.py")
        if path in texts:
            files.append(skim(path, texts[path]))
        if not folder:
            break
        folder = posixpath.dirname(folder)
    for each in files:
        for function in each.functions:
            if _is_fixture(function) and function.id.name in asked:
                yield code_of(each.text, function)


def _is_fixture(function: Function) -> bool:
    return any("fixture" in decorator for decorator in function.decorators)
