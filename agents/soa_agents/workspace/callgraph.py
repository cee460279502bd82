"""Who calls whom in the workspace, and which tests reach a function, as far as the texts tell.

This is where a verification starts before it has seen any test run.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from soa_agents.workspace.facts import FileFacts, FunctionFact
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.names import Names, Thing, User

_MANY = 3000  # users followed; beyond that nearly everything is affected and the files say it better
_FOR_THE_CLASS = frozenset({"setUp", "setUpClass", "setup_method", "setup_class", "asyncSetUp"})
_FOR_THE_FILE = frozenset({"setup_module", "setUpModule", "setup_function", "setup", FunctionId.MODULE})


class CallGraph:
    """The functions of a workspace and who uses whom. Read-only once made; answers are remembered."""

    def __init__(self, facts: Mapping[str, FileFacts]) -> None:
        self.facts = facts
        self.names = Names(facts)
        self.modules = self.names.modules
        self._functions = {path: {f.qualname: f for f in each.functions} for path, each in facts.items()}
        self._users: defaultdict[str, list[tuple[User, str]]] = defaultdict(list)
        self._aliases: defaultdict[str, set[str]] = defaultdict(set)
        for path, each in facts.items():
            own = [(f.qualname, f.uses) for f in each.functions]
            for qualname, uses in ((FunctionId.MODULE, each.uses), *own):
                for use in uses:
                    for part in set(use.split(".")):
                        self._users[part].append((User(path, qualname), use))
            for bound in each.imports:
                if bound.attribute and bound.name not in (bound.attribute, "*"):
                    self._aliases[bound.attribute].add(bound.name)
        self._subclasses: defaultdict[Thing, set[Thing]] | None = None

    def function(self, function: FunctionId) -> FunctionFact | None:
        """What is known of a function; None when it is not in the workspace."""
        return self._functions.get(function.path, {}).get(function.qualname)

    def callees(self, function: FunctionId) -> tuple[FunctionId, ...]:
        """The workspace functions that `function` uses by name; a class stands for its `__init__`."""
        fact = self.function(function)
        user = User(function.path, function.qualname)
        found = {
            self._called(thing)
            for use in (fact.uses if fact else ())
            if (thing := self.names.resolve(user, use))
        }
        return tuple(sorted(each for each in found if each is not None and each != function))

    def callers(self, function: FunctionId) -> tuple[FunctionId, ...]:
        """The functions (tests and `path::<module>` too) that use `function` by name."""
        plain = _unnumbered(function)
        owner = plain.qualname.rpartition(".")[0]
        if plain.name == "__init__" and owner:
            classes = self.with_subclasses(Thing("class", plain.path, owner))
            names = {plain.name, *(each.qualname.rpartition(".")[2] for each in classes)}
        else:
            names = {plain.name}
        users = {pair for name in names for pair in self._uses_of(name)}
        things = ((user, self.names.resolve(user, use)) for user, use in users)
        found = {FunctionId(*user) for user, thing in things if thing and self._called(thing) == plain}
        return tuple(sorted(found - {function, plain}))

    def mentions(self, function: FunctionId) -> tuple[FunctionId, ...]:
        """The functions that use an attribute of that name and whose files import the function's file."""
        near = self.modules.importers(function.path) | {function.path}
        found = {
            FunctionId(*user)
            for user, use in self._users.get(function.name, ())
            if use.endswith(f".{function.name}")
            and user.path in near
            and self.names.resolve(user, use) is None
        }
        return tuple(sorted(found - {function}))

    def users_of_class(self, path: str, qualname: str) -> tuple[FunctionId, ...]:
        """The functions that name a class, a subclass of it, or something inside one of them."""
        wanted = self.with_subclasses(Thing("class", path, qualname))
        found = {
            FunctionId(*user)
            for each in wanted
            for user, use in self._uses_of(each.qualname.rpartition(".")[2])
            if any(thing in wanted for thing in self._things_along(user, use))
        }
        return tuple(sorted(found))

    def _things_along(self, user: User, use: str) -> Iterator[Thing | None]:
        """What `a.b.c`, `a.b` and `a` mean."""
        while use:
            yield self.names.resolve(user, use)
            use = use.rpartition(".")[0]

    def _uses_of(self, name: str) -> Iterator[tuple[User, str]]:
        """Every use that spells `name`, or a name that an import gave to something called so."""
        spellings = {name}
        waiting = [name]
        while waiting:
            more = self._aliases.get(waiting.pop(), set()) - spellings
            spellings |= more
            waiting += more
        for each in spellings:
            yield from self._users.get(each, ())

    def with_subclasses(self, thing: Thing) -> set[Thing]:
        """A class and every class of the workspace that inherits from it."""
        if self._subclasses is None:
            self._subclasses = defaultdict(set)
            for path, facts in self.facts.items():
                for each in facts.classes:
                    for base in each.bases:
                        parent = self.names.resolve(User(path, each.qualname), base)
                        if parent is not None:
                            self._subclasses[parent].add(Thing("class", path, each.qualname))
        found, waiting = {thing}, [thing]
        while waiting:
            more = self._subclasses.get(waiting.pop(), set()) - found
            found |= more
            waiting += more
        return found

    def _called(self, thing: Thing) -> FunctionId | None:
        if thing.kind == "class":
            found = self.names.method(thing, "__init__", 0)
            return FunctionId(found.path, found.qualname) if found else None
        return FunctionId(thing.path, thing.qualname) if thing.kind == "function" else None


@dataclass(frozen=True, slots=True)
class Reaching:
    """Tests that may run a function, as node ids without parameters, each tuple sorted.

    `direct` name it (or, when none does, its class); `affected` reach it through other functions or fixtures
    and hold the direct ones too; `files` are the test files that import its module, in one step or more.
    """

    direct: tuple[str, ...] = ()
    affected: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def tests_reaching(graph: CallGraph, function: FunctionId) -> Reaching:
    """The tests that reach `function` by name. Unknown functions give an empty answer."""
    if graph.function(function) is None:
        return Reaching()
    direct = direct_tests(graph, function)
    near = graph.modules.importers(function.path) | {function.path}
    return Reaching(
        direct=direct,
        affected=tuple(sorted({*direct, *_followed(graph, function)})),
        files=tuple(sorted(path for path in near if _holds_tests(graph, path))),
    )


def direct_tests(graph: CallGraph, function: FunctionId) -> tuple[str, ...]:
    """The tests that name `function` themselves; when none does, those that name its class."""
    users = {*graph.callers(function), *graph.mentions(function)}
    found = {name for user in users if is_test(graph, user) for name in _nodeids(graph, user)}
    if not found:
        users = set(_users_of_owner(graph, function))
        found = {name for user in users if is_test(graph, user) for name in _nodeids(graph, user)}
    return tuple(sorted(found))


def is_test(graph: CallGraph, function: FunctionId) -> bool:
    """Does pytest collect it, as far as names tell?"""
    facts = graph.facts.get(function.path)
    whole = "<locals>" not in function.qualname and "#" not in function.qualname
    return facts is not None and facts.is_test and whole and function.name.startswith("test")


def nodeid(function: FunctionId) -> str:
    """pytest's name of a test function, without parameters."""
    return f"{function.path}::{function.qualname.replace('.', '::')}"


def _nodeids(graph: CallGraph, test: FunctionId) -> Iterator[str]:
    """pytest's names of a test: its own, and one for each class that inherits it."""
    owner, _, name = test.qualname.rpartition(".")
    yield nodeid(test)
    for each in graph.with_subclasses(Thing("class", test.path, owner)) if owner else ():
        inherited = FunctionId(each.path, f"{each.qualname}.{name}")
        if graph.function(inherited) is None:
            yield nodeid(inherited)


def _followed(graph: CallGraph, function: FunctionId) -> Iterator[str]:
    """The tests at the end of every chain of users, through set-up functions and fixtures too."""
    seen = {function}
    waiting = [function, *_users_of_owner(graph, function)]
    while waiting and len(seen) < _MANY:
        current = waiting.pop()
        if is_test(graph, current):
            yield from _nodeids(graph, current)
            continue
        yield from _set_up(graph, current)
        if current.qualname == FunctionId.MODULE:
            continue
        users = {*graph.callers(current), *graph.mentions(current)}
        if current.name.startswith("__"):  # called by operators and statements, without its name
            users.update(_users_of_owner(graph, current))
        waiting += users - seen
        seen |= users


def _set_up(graph: CallGraph, function: FunctionId) -> Iterator[str]:
    """The tests that a set-up function, or a test module's own statements, work for."""
    facts = graph.facts[function.path]
    name = function.qualname if function.qualname == FunctionId.MODULE else function.name
    if not facts.is_test or name not in _FOR_THE_CLASS | _FOR_THE_FILE:
        return
    scope = f"{function.qualname.rpartition('.')[0]}." if name in _FOR_THE_CLASS else ""
    for each in facts.functions:
        test = FunctionId(function.path, each.qualname)
        if each.qualname.startswith(scope) and is_test(graph, test):
            yield from _nodeids(graph, test)


def _users_of_owner(graph: CallGraph, function: FunctionId) -> tuple[FunctionId, ...]:
    """Who names the class of a method: operators, `len`, `with` and the like call it without its name."""
    fact = graph.function(_unnumbered(function)) or graph.function(function)
    return graph.users_of_class(function.path, fact.owner) if fact and fact.owner else ()


def _holds_tests(graph: CallGraph, path: str) -> bool:
    facts = graph.facts.get(path)
    if facts is None or not facts.is_test or PurePosixPath(path).name == "conftest.py":
        return False
    return any(is_test(graph, FunctionId(path, each.qualname)) for each in facts.functions)


def _unnumbered(function: FunctionId) -> FunctionId:
    """The first definition of the same name: a setter counts as used where the property is."""
    return FunctionId(function.path, re.sub(r"#\d+$", "", function.qualname))
