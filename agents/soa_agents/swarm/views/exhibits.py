"""The tests of a function as text: which ones to show and what they said. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from soa_agents.swarm.views.bindings import words
from soa_agents.swarm.views.lookup import find_class
from soa_agents.swarm.views.material import Focus, name_parts
from soa_agents.swarm.views.skim import Skim, class_line, indented, skim
from soa_agents.swarm.views.thinning import thinned
from soa_agents.verify.report import Report, TestResult
from soa_agents.workspace.functions import Function, dedented
from soa_agents.workspace.ids import FunctionId

_INDIRECT = 6  # tests shown of a function that no test names
_REPORTED = 8  # reported failures shown beside the tests that name the function
_LONG_TEST = 1500  # characters of a test; a longer one is thinned
_LONG_ONES = 6000  # characters that long tests take together, the first one in any case
_NAMES = 12  # tests that are listed by name only
_HOPS = 4  # classes a test may be inherited through
# What such tests show of a function is not the first thing that its author needs to know.
_ASIDE = frozenset({"i18n", "l10n", "locale", "locales", "benchmark", "benchmarks", "bench", "perf"})


@dataclass(frozen=True, slots=True)
class Shown:
    """A test function, where it stands, the class it is run through, and how it went.

    `ran` is how many functions of the workspace ran in it, 0 when it was not seen to run the function;
    `named` are those of them that the test itself names.
    """

    file: Skim
    function: Function
    through: tuple[Skim, str] | None
    failing: bool = False
    skipped: bool = False
    ran: int = 0
    named: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Its whole source; a method stands inside its class line."""
        text = dedented(self.file.text, self.function)
        if not self.function.owner:
            return text
        return f"{class_line(self.file, self.function.owner)}\n{indented(text)}"


@dataclass(frozen=True, slots=True)
class Exhibits:
    """The tests to quote, those of them that a report complains of, and the others by why they are not."""

    quoted: tuple[Shown, ...] = ()
    reported: frozenset[FunctionId] = frozenset()
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.quoted)


@dataclass(frozen=True, slots=True)
class Results:
    """What reports say: the result that speaks for each test, the tests by the functions they ran, and those
    that failed by their files."""

    reports: tuple[Report, ...] = ()
    of: Mapping[FunctionId, TestResult] = field(default_factory=dict)
    running: Mapping[FunctionId, Collection[FunctionId]] = field(default_factory=dict)
    failing: Mapping[str, Collection[FunctionId]] = field(default_factory=dict)


@dataclass(slots=True)
class Reading:
    """Reads reports once for all agents who go by the same ones: no prompt takes longer among many."""

    _last: Results = field(default_factory=Results)

    def results(self, *reports: Report) -> Results:
        """What these reports say."""
        last = self._last.reports
        if len(last) != len(reports) or any(a is not b for a, b in zip(last, reports, strict=True)):
            self._last = _read(reports)
        return self._last


def _read(reports: tuple[Report, ...]) -> Results:
    results: dict[FunctionId, TestResult] = {}
    for result in (result for report in reports for result in report.tests):
        test = test_id(result.nodeid)
        if test not in results or _weight(result) > _weight(results[test]):
            results[test] = result
    running: dict[FunctionId, list[FunctionId]] = {}
    failing: dict[str, list[FunctionId]] = {}
    for test, result in results.items():
        for function in dict.fromkeys(result.ran):
            running.setdefault(function, []).append(test)
        if _weight(result) == 2:
            failing.setdefault(test.path, []).append(test)
    return Results(reports, results, running, failing)


def tests_of(
    focus: Focus,
    texts: Mapping[str, str],
    listed: Iterable[str],
    results: Results,
    told: Report | None = None,
) -> Exhibits:
    """The tests to show: those that name the function, else those seen to run it that run little else.

    `listed` are node ids known beforehand; `results` say which tests ran it and which of them failed. What
    fails in `told`, the report that is shown, is quoted in any case.
    """
    complaints = {r.nodeid for r in told.tests if not r.passed and r.outcome != "skipped"} if told else set()
    ids = {test_id(n) for n in complaints}
    found = _found(focus, texts, listed, results, ids)
    reported = {s.function.id for test, s in found.items() if test in ids}
    tests = _merged(found.values())
    naming = [s for s in tests if _names(focus, s)]
    direct = [s for s in naming if s.ran] or naming
    direct += [s for s in naming if s not in direct and _inherited_by(s, direct)]
    told_of = sorted((s for s in tests if s.function.id in reported and s not in direct), key=_size)
    chosen = [*direct, *told_of[:_REPORTED]]
    if not chosen:
        chosen = sorted((s for s in tests if s.ran), key=lambda s: (not s.failing, s.ran))[:_INDIRECT]
    quoted = _worth_quoting(focus, chosen, reported)
    rest: dict[str, tuple[str, ...]] = {}
    for test in (s for s in tests if s not in quoted and (s.ran or s in naming)):
        why = _why_left_out(test, test in naming, bool(reported))
        rest[why] = (*rest.get(why, ()), _label(test, quoted))
    return Exhibits(tuple(quoted), frozenset(reported), rest)


@lru_cache(maxsize=4096)  # of every test of a report, for every function
def test_id(nodeid: str) -> FunctionId:
    """The function behind a pytest node id, whatever its parameters."""
    path, _, rest = nodeid.partition("::")
    return FunctionId(path, rest.partition("[")[0].replace("::", "."))


def levels(tests: Exhibits) -> tuple[str, ...]:
    """The tests as text, ever shorter: all, the failing ones, their assertions, fewer of these."""
    reported = tuple(t for t in tests.quoted if t.function.id in tests.reported)
    failing = reported or tuple(t for t in tests.quoted if t.failing) or tests.quoted
    lines = [_assertions(t) for t in failing]
    fewer = [_joined(lines[: len(lines) // n]) for n in (2, 4, 8, 16, 32) if len(lines) >= n]
    whole = (_together(tests, tests.quoted), _together(tests, failing))
    return (*whole, _joined(lines), *fewer)


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


def _found(
    focus: Focus,
    texts: Mapping[str, str],
    listed: Iterable[str],
    results: Results,
    ids: Container[FunctionId],
) -> dict[FunctionId, Shown]:
    """The tests by their id: the listed ones, and those of the reports that ran the function, or that failed
    and may name it or are among the `ids`."""
    name = _spelled(focus)
    naming = {path for path in results.failing if name in texts.get(path, "")}
    told = (  # that of a method may stand in another file
        test
        for path, tests in results.failing.items()
        for test in tests
        if path in naming or "." in test.qualname or test in ids
    )
    ran = [*results.running.get(focus.function, ()), *told]
    found = {}
    for test in dict.fromkeys([*map(test_id, listed), *ran]):
        if shown := _shown(test, texts):
            last = results.of.get(test)
            found[test] = _with_result(focus, shown, last) if last else shown
    return found


def _weight(result: TestResult) -> int:
    """Which result speaks for a test that has several: one that failed, else one that passed."""
    return 0 if result.outcome == "skipped" else 1 if result.passed else 2


def _with_result(focus: Focus, shown: Shown, last: TestResult) -> Shown:
    runs = focus.function in last.ran
    spelled = words(shown.source)
    named = dict.fromkeys(f.name for f in last.ran if f != focus.function and f.name in spelled)
    return replace(
        shown,
        failing=_weight(last) == 2,
        skipped=last.outcome == "skipped",
        ran=len(last.ran) if runs else 0,
        named=tuple(named) if runs else (),
    )


def _merged(found: Iterable[Shown]) -> list[Shown]:
    """The tests, each once: one that several classes inherit fails when it fails through any."""
    merged: dict[FunctionId, Shown] = {}
    for each in found:
        known = merged.get(each.function.id)
        if known is None or (each.failing and not known.failing):
            merged[each.function.id] = each
    return list(merged.values())


def _shown(test: FunctionId, texts: Mapping[str, str]) -> Shown | None:
    if test.path not in texts:
        return None
    file = skim(test.path, texts[test.path])
    owner, _, name = test.qualname.rpartition(".")
    if function := file.function(test.qualname):
        return Shown(file, function, (file, owner) if owner else None)
    inherited = _inherited((file, owner), name, texts) if owner else None
    return Shown(*inherited, (file, owner)) if inherited else None


def _inherited(
    place: tuple[Skim, str], name: str, texts: Mapping[str, str], hops: int = _HOPS
) -> tuple[Skim, Function] | None:
    """The method `name` that a class has from its bases."""
    file, owner = place
    found = file.class_named(owner)
    for base in found.bases if found and hops else ():
        above = find_class(file, texts, base)
        if above is None:
            continue
        if function := above[0].function(f"{above[1]}.{name}"):
            return above[0], function
        if further := _inherited(above, name, texts, hops - 1):
            return further
    return None


def _worth_quoting(focus: Focus, chosen: list[Shown], reported: set[FunctionId]) -> list[Shown]:
    """The reported tests alone, else all but the last of many long ones; the telling ones first."""
    kept = [s for s in chosen if s.function.id in reported] or chosen
    room, quoted = _LONG_ONES, list[Shown]()
    for test in sorted(kept, key=lambda s: (_rank(focus, s), _size(s))):
        if test.function.id not in reported and _size(test) > _LONG_TEST:
            if room < _LONG_ONES and room < _LONG_TEST:
                continue
            room -= _LONG_TEST
        quoted.append(test)
    return sorted(quoted, key=lambda s: (_rank(focus, s), s.file.path, s.function.span.start))


def _rank(focus: Focus, shown: Shown) -> int:
    """Where a test stands among the others: its module's own file first, special concerns last."""
    stem = focus.function.path.rpartition("/")[2].removesuffix(".py")
    file = shown.file.path.rpartition("/")[2].removesuffix(".py")
    about = name_parts(file) | name_parts(shown.function.id.name) | words(_parameters(shown))
    aside = _ASIDE & about - name_parts(focus.function.name) - name_parts(stem)
    if shown.skipped or aside:
        return 2
    return 0 if file in (f"test_{stem}", f"{stem}_test", f"test{stem}") and _names(focus, shown) else 1


def _parameters(shown: Shown) -> str:
    return shown.file.text[shown.function.name.end : shown.function.signature.end]


def _why_left_out(test: Shown, names: bool, told: bool) -> str:
    """Why a test that has to do with the function is mentioned only."""
    if told and not test.failing:
        return "as they pass" if test.ran else "as they did not fail here"
    if names:
        return "as they are long" if test.ran else "as they did not run it here"
    through = f" only through {test.named[0]}" if test.named else " only through other functions"
    return f"as they reach it{through}"


def _inherited_by(shown: Shown, others: list[Shown]) -> bool:
    """Whether the test stands in a class that the classes of `others` have their tests from as well."""
    found = (t.through[0].class_named(t.through[1]) for t in others if t.through)
    return any(each is not None and shown.function.owner in each.bases for each in found)


def _names(focus: Focus, shown: Shown) -> bool:
    """Whether the test spells the function's name, or its class's where Python itself calls the method."""
    return _spelled(focus) in words(shown.source)


def _spelled(focus: Focus) -> str:
    name = focus.function.name
    special = name.startswith("__") and name.endswith("__")
    return focus.owner.rpartition(".")[2] if special and focus.owner else name


def _size(shown: Shown) -> int:
    return shown.function.span.end - shown.function.span.start


def _together(tests: Exhibits, quoted: tuple[Shown, ...]) -> str:
    """Whole tests, methods of one class under one class line, files told apart when there are several."""
    several = len({t.file.path for t in quoted}) > 1
    parts: list[str] = []
    path, owner = "", None
    for test in quoted:
        if several and test.file.path != path:
            parts.append(f"# {test.file.path}")
            owner = None
        path = test.file.path
        text = thinned(dedented(test.file.text, test.function), _LONG_TEST)
        if test.function.owner and test.function.owner != owner:
            parts.append(f"{class_line(test.file, test.function.owner)}\n{indented(text)}")
        else:
            parts.append(indented(text) if test.function.owner else text)
        owner = test.function.owner
    return "\n\n".join([*_count(tests, quoted), *parts])


def _count(tests: Exhibits, quoted: tuple[Shown, ...]) -> list[str]:
    """How many tests there are and why some are left out, when not all of them are quoted."""
    unquoted = tuple(_label(t, quoted) for t in tests.quoted if t not in quoted)
    groups = {**tests.others, **({"for their length": unquoted} if unquoted else {})}
    if not groups:
        return []
    count = sum(map(len, groups.values()))
    told = [f"# {len(quoted)} of {len(quoted) + count} tests."]
    for why, names in groups.items():
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        told.append(f"Left out {why}: {', '.join(names[:_NAMES])}{more}.")
    return [" ".join(told)]


def _label(test: Shown, quoted: Iterable[Shown]) -> str:
    """A test's name, with its file when no quoted test stands in it."""
    name = test.function.id.name
    return name if any(test.file is t.file for t in quoted) else f"{test.file.path}::{name}"


def _assertions(test: Shown) -> str:
    """A test's first line and those of its lines that assert."""
    lines = dedented(test.file.text, test.function).split("\n")
    first = next((line for line in lines if re.match(r"(async\s+)?def\b", line)), lines[0])
    told = [line for line in lines if re.search(r"\bassert|\braises\(|\.assert\w+\(", line)]
    return "\n".join([first, *(line[:300] for line in told[:12])])


def _joined(lines: list[str]) -> str:
    return "\n".join(["# Shortened to what is asserted.", *lines]) if lines else ""
