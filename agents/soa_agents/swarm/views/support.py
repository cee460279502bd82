"""What the quoted tests use: fixtures, set-up methods, helpers, constants, imports. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence

from soa_agents.swarm.views.around import bounded
from soa_agents.swarm.views.bindings import words
from soa_agents.swarm.views.exhibits import Shown
from soa_agents.swarm.views.lookup import find
from soa_agents.swarm.views.material import Piece
from soa_agents.swarm.views.skim import Skim, class_line, indented, skim
from soa_agents.workspace.functions import Function, dedented
from soa_agents.workspace.outline import class_header
from soa_agents.workspace.snapshot import is_test_file

_SETUP = ("setUp", "setUpClass", "asyncSetUp", "setup_method", "setup_class", "setup")
_LONG = 1800  # characters of a fixture or helper that is quoted
_ROUNDS = 4  # helpers of helpers are followed no further


def support(tests: Sequence[Shown], texts: Mapping[str, str]) -> tuple[Piece, ...]:
    """What the shown tests use, file by file; nothing when they stand on their own."""
    pieces: list[Piece] = []
    for number, file in enumerate(dict.fromkeys(t.file for t in tests)):
        mine = [t for t in tests if t.file is file]
        found = list(_support(file, mine, texts))
        if found:
            place = number * 1000
            pieces.append(Piece(f"# {file.path}", place, compact=True))
            pieces += [Piece(p.text, place + p.place, compact=p.compact) for p in found]
    return tuple(pieces)


def _support(file: Skim, tests: list[Shown], texts: Mapping[str, str]) -> Iterator[Piece]:
    own = [*_setups(file, tests), *_methods(file, tests), *_fixtures(file, tests, texts)]
    sources = [*(t.source for t in tests), *(_concrete(t) for t in tests), *own]
    used, defined = _defined(file, words("\n".join(sources)), tests)
    imports = [b for b in file.bindings if b.imports and b.names & used]
    foreign = dict.fromkeys(_foreign(file, used, texts))
    yield from (Piece(b.short, n, compact=True) for n, b in enumerate(imports))
    yield from (Piece(text, 100 + place, compact=compact) for place, text, compact in defined)
    later = dict.fromkeys([*foreign, *own, *(_concrete(t) for t in tests)])
    yield from (Piece(bounded(text, _LONG), 500 + n) for n, text in enumerate(t for t in later if t))


def _defined(
    file: Skim, used: frozenset[str], tests: list[Shown]
) -> tuple[frozenset[str], list[tuple[int, str, bool]]]:
    """The names used in all, and what of them the test module defines, with what that uses in turn."""
    shown = {t.function.id for t in tests}
    found: dict[int, tuple[str, bool]] = {}
    for _ in range(_ROUNDS):
        before = len(found)
        for number, each in enumerate(file.bindings):
            if each.names & used and not each.imports:
                found[number] = (each.short, True)
        for number, function in enumerate(file.functions):
            plain = "." not in function.id.qualname and function.id not in shown
            if plain and function.id.name in used and not _is_fixture(function):
                found[1000 + number] = (bounded(dedented(file.text, function), _LONG), False)
        for number, each_class in enumerate(file.classes):
            if each_class.qualname in used and not _holds_tests(file, each_class.qualname):
                span = each_class.span
                found[10_000 + number] = (bounded(file.text[span.start : span.end], _LONG), False)
        used |= words("\n".join(text for text, _ in found.values()))
        if len(found) == before:
            break
    return used, [(n, text, compact) for n, (_, (text, compact)) in enumerate(sorted(found.items()))]


def _holds_tests(file: Skim, qualname: str) -> bool:
    return any(f.owner == qualname and f.id.name.startswith("test") for f in file.functions)


def _foreign(file: Skim, used: frozenset[str], texts: Mapping[str, str]) -> Iterator[str]:
    """Helpers that the test file imports from other test files of the workspace."""
    for each in (i for b in file.bindings for i in b.imports if i.name in used and i.attribute):
        found = find(file, texts, each.name)
        if found is None or not is_test_file(found[0].path):
            continue
        other, qualname = found
        constant = other.constant(qualname)
        if function := other.function(qualname):
            yield f"# {other.path}\n{dedented(other.text, function)}"
        elif constant is not None:
            yield f"# {other.path}\n{constant.short}"
        elif known := other.class_named(qualname):
            yield f"# {other.path}\n{other.text[known.span.start : known.span.end]}"


def _concrete(test: Shown) -> str:
    """The class that a test is run through, where it stands in another one or the class has fields."""
    if test.through is None:
        return ""
    file, qualname = test.through
    inherited = qualname != test.function.owner
    header = class_header(file.text, qualname)
    fields = "\n" in header.partition(":\n")[2] or "=" in header
    return header if inherited or fields else ""


def _setups(file: Skim, tests: list[Shown]) -> Iterator[str]:
    owners = {t.function.owner for t in tests if t.function.owner}
    owners |= {t.through[1] for t in tests if t.through and t.through[0] is file}
    for function in file.functions:
        if function.owner in owners and function.id.name in _SETUP:
            yield f"{class_line(file, function.owner)}\n{indented(dedented(file.text, function))}"


def _methods(file: Skim, tests: list[Shown]) -> Iterator[str]:
    """Methods of the test classes that the tests call and that are no tests."""
    for function in file.functions:
        calling = [t for t in tests if t.function.owner and t.function.owner == function.owner]
        helper = not function.id.name.startswith("test") and function.id.name not in _SETUP
        if helper and any(f"self.{function.id.name}" in t.source for t in calling):
            yield f"{class_line(file, function.owner or '')}\n{indented(dedented(file.text, function))}"


def _fixtures(file: Skim, tests: list[Shown], texts: Mapping[str, str]) -> Iterator[str]:
    """Fixtures the tests name, and those these name, from their file and the `conftest.py` files above it."""
    files, folder = [file], posixpath.dirname(file.path)
    while True:
        path = posixpath.join(folder, "conftest.py")
        if path in texts:
            files.append(skim(path, texts[path]))
        if not folder:
            break
        folder = posixpath.dirname(folder)
    asked = words("\n".join(_asked(t.file, t.function) for t in tests))
    fixtures = [(each, f) for each in files for f in each.functions if _is_fixture(f)]
    taken: set[str] = set()
    for _ in range(_ROUNDS):
        for each, function in fixtures:
            if function.id.name in asked and function.id.name not in taken:
                taken.add(function.id.name)
                asked |= words(_asked(each, function))
                yield dedented(each.text, function)


def _asked(file: Skim, function: Function) -> str:
    """Where a test or fixture names its fixtures: its decorators and parameters."""
    return file.text[function.span.start : function.signature.end]


def _is_fixture(function: Function) -> bool:
    return any("fixture" in decorator for decorator in function.decorators)
