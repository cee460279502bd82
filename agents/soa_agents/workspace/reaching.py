"""Which tests reach a function, as far as names tell: a start for who has not seen them run yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from soa_agents.workspace.callgraph import CallGraph
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.names import Thing

_MANY = 3000  # users followed; beyond that nearly everything is affected and the files say it better
_FOR_THE_CLASS = frozenset({"setUp", "setUpClass", "setup_method", "setup_class", "asyncSetUp"})
_FOR_THE_FILE = frozenset({"setup_module", "setUpModule", "setup_function", "setup"})


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
        affected=tuple(sorted(_affected(graph, function).union(direct))),
        files=tuple(sorted(path for path in near if graph.holds_tests(path))),
    )


def direct_tests(graph: CallGraph, function: FunctionId) -> tuple[str, ...]:
    """The tests that name `function` themselves; when none does, those that name its class."""
    found = _nodeids(graph, graph.users(function)) | graph.tests_mentioning(function)
    if not found and (owner := graph.owner(function)) is not None:
        return tuple(sorted(graph.tests_naming_class(owner)))
    return tuple(sorted(found))


def _affected(graph: CallGraph, function: FunctionId) -> set[str]:
    """The tests at the end of every chain of users, through set-up functions and fixtures too.

    Only what uses the function itself may do so by an attribute of something unknown. A user's users must
    name it: hardly a name is used once, and from `.get` on everything would be reached. Near users come
    first, in a fixed order, so that a chain cut at `_MANY` is cut where it matters least.
    """
    users = {*graph.runners(function), *graph.mentions(function), *_users_of_owner(graph, function)}
    users.discard(function)
    seen, found = {function, *users}, [function, *sorted(users)]
    for current in found:
        if len(seen) >= _MANY:
            break
        if current != function and not graph.tests_of(current):
            new = [user for user in graph.runners(current) if user not in seen]
            seen.update(new)
            found += new
    return _nodeids(graph, found) | _worked_for(graph, found)


def _users_of_owner(graph: CallGraph, function: FunctionId) -> set[FunctionId]:
    """Who names the class of a method: operators, `len`, `with` and the like call it without its name."""
    owner = graph.owner(function)
    return graph.users_of_class(owner) if owner is not None else set()


def _nodeids(graph: CallGraph, code: Iterable[FunctionId]) -> set[str]:
    """The tests among `code`, as pytest names them."""
    return {name for each in code for name in graph.tests_of(each)}


def _worked_for(graph: CallGraph, code: Iterable[FunctionId]) -> set[str]:
    """The tests that `code` works for: as set-up functions, or as a test class's or module's statements."""
    files: set[str] = set()
    classes: set[Thing] = set()
    for each in code:
        body = graph.owner(each) if each.name in _FOR_THE_CLASS else graph.class_of(each)
        if body is not None and body not in classes:
            classes |= graph.with_subclasses(body)
        elif each.qualname == FunctionId.MODULE or each.name in _FOR_THE_FILE:
            files.add(each.path)
    tests = (FunctionId(path, each.qualname) for path in files for each in graph.facts[path].functions)
    return _nodeids(graph, tests).union(*(graph.tests_of_class(each) for each in classes))
