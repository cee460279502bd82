"""Who uses whom in the workspace, as far as the texts tell."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import TypeVar

from soa_agents.workspace.facts import FileFacts, FunctionFact, Survey, code_in, survey
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.names import Names, Thing, User
from soa_agents.workspace.snapshot import is_test_file
from soa_agents.workspace.spelled import Spelled

_Each = TypeVar("_Each")


@dataclass(frozen=True, slots=True)
class _Named:
    """Who uses a name, by what it means there; `loose`, by file, as an attribute of something unknown."""

    functions: dict[FunctionId, set[FunctionId]] = field(default_factory=lambda: defaultdict(set))
    classes: dict[Thing, set[FunctionId]] = field(default_factory=lambda: defaultdict(set))
    loose: dict[str, set[FunctionId]] = field(default_factory=lambda: defaultdict(set))


class CallGraph:
    """The functions of a workspace and who uses whom. Read-only once made; answers are remembered.

    A name is looked into when it is asked for, in the files that spell it: making a graph costs little.
    """

    def __init__(
        self, facts: Mapping[str, FileFacts], known: Survey | None = None, held: int | None = None
    ) -> None:
        """`facts` may read each file when it is asked for, with `known` of all of them.

        `held` bounds the files whose names and uses are remembered, for who has little room.
        """
        known = known or survey(facts)
        self.facts = facts
        self.names = Names(facts, known, held)
        self.modules = self.names.modules
        self._spelled = Spelled(known.spelled)
        self._named: dict[str, _Named] = {}
        self._uses_in = lru_cache(maxsize=held)(self._find_uses)
        self._naming: dict[Thing, frozenset[str]] = {}
        self._mentioning: dict[tuple[str, str], frozenset[str]] = {}
        self._runners: dict[FunctionId, tuple[FunctionId, ...]] = {}
        self._heirs: dict[str, defaultdict[str, list[Thing]]] = {}
        self._below: dict[Thing, set[Thing]] = {}
        self._above: dict[Thing, set[Thing]] = {}
        self._tests: dict[FunctionId, tuple[str, ...]] = {}
        self._tests_of_class: dict[Thing, tuple[str, ...]] = {}

    def function(self, function: FunctionId) -> FunctionFact | None:
        """What is known of a function; None when it is not in the workspace."""
        return self.names.functions(function.path).get(function.qualname)

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
        found = {
            FunctionId(user.path, FunctionId.MODULE) if self.class_of(user) else user
            for user in self.users(function)
        }
        return tuple(sorted(found - {function, unnumbered(function)}))

    def users(self, function: FunctionId) -> set[FunctionId]:
        """The code that uses `function` by name: functions, modules, class bodies under the class's name."""
        plain = unnumbered(function)
        found = set(self._who_names(plain.name).functions.get(plain, ()))
        owner = plain.qualname.rpartition(".")[0]
        if plain.name == "__init__" and owner:
            for each in self.with_subclasses(Thing("class", plain.path, owner)):
                if self._called(each) == plain:
                    found |= self._who_names(each.name).classes.get(each, set())
        return found

    def runners(self, code: FunctionId) -> tuple[FunctionId, ...]:
        """Who runs `code` by name, sorted: its users, those of what it overrides, and those of its class.

        A special method is run through its class, and so is a method that nobody names outside of it.
        """
        if code not in self._runners:
            self._runners[code] = tuple(sorted(self._find_runners(code)))
        return self._runners[code]

    def mentions(self, function: FunctionId, files: AbstractSet[str] | None = None) -> set[FunctionId]:
        """The code that uses an attribute of that name on something unknown: in `files`, else where it may.

        That is in the files that import the function's, in one step or more.
        """
        near = self.modules.importers(function.path) | {function.path} if files is None else files
        loose = self._who_names(function.name).loose
        return set().union(*(loose[path] for path in loose.keys() & near))

    def tests_mentioning(self, function: FunctionId) -> set[str]:
        """The node ids of the tests among `mentions`."""
        loose = self._who_names(function.name).loose
        if not loose:
            return set()
        near = self.modules.importers(function.path)
        found: set[str] = set()
        for path in loose:
            if is_test_file(path) and (path in near or path == function.path):
                key = (function.name, path)
                if key not in self._mentioning:
                    named = (self.tests_of(each) for each in loose[path])
                    self._mentioning[key] = frozenset(chain.from_iterable(named))
                found |= self._mentioning[key]
        return found

    def users_of_class(self, thing: Thing) -> set[FunctionId]:
        """The code that names a class, a subclass of it, or something inside one of them."""
        wanted = self.with_subclasses(thing)
        return {user for each in wanted for user in self._who_names(each.name).classes.get(each, ())}

    def tests_naming_class(self, thing: Thing) -> frozenset[str]:
        """The node ids of the tests among `users_of_class`."""
        if thing not in self._naming:
            users = (self.tests_of(each) for each in self.users_of_class(thing))
            self._naming[thing] = frozenset(chain.from_iterable(users))
        return self._naming[thing]

    def class_of(self, code: FunctionId) -> Thing | None:
        """The class whose body, outside its methods, `code` is."""
        found = self.names.defined(code.path, code.qualname)
        return found if found is not None and found.kind == "class" else None

    def owner(self, function: FunctionId) -> Thing | None:
        """The class that a method is directly in."""
        fact = self.function(unnumbered(function)) or self.function(function)
        return Thing("class", function.path, fact.owner) if fact and fact.owner else None

    def tests_of(self, function: FunctionId) -> tuple[str, ...]:
        """What pytest collects of a function, as far as names tell: node ids without parameters.

        There is one for each class that inherits a test, and none for what is no test.
        """
        found = self._tests.get(function)
        if found is None:
            found = self._tests[function] = tuple(self._nodeids(function)) if self._is_test(function) else ()
        return found

    def _is_test(self, function: FunctionId) -> bool:
        if not function.name.startswith("test") or not is_test_file(function.path):
            return False
        odd = "<locals>" in function.qualname or "#" in function.qualname
        return not odd and self.function(function) is not None

    def holds_tests(self, path: str) -> bool:
        """Does a file hold tests? A conftest holds none."""
        if not is_test_file(path) or posixpath.basename(path) == "conftest.py":
            return False
        return any(self.tests_of(FunctionId(path, name)) for name in self.names.functions(path))

    def methods(self, owner: Thing) -> list[FunctionId]:
        """The methods that stand in a class."""
        found = self.names.functions(owner.path).values()
        return [FunctionId(owner.path, each.qualname) for each in found if each.owner == owner.qualname]

    def with_subclasses(self, thing: Thing) -> AbstractSet[Thing]:
        """A class and every class of the workspace that inherits from it."""
        if thing not in self._below:
            self._below[thing] = _closure(thing, self._subclasses)
        return self._below[thing]

    def with_bases(self, thing: Thing) -> AbstractSet[Thing]:
        """A class and every class of the workspace that it inherits from."""
        if thing not in self._above:
            self._above[thing] = _closure(thing, self.names.bases)
        return self._above[thing]

    def tests_of_class(self, owner: Thing) -> tuple[str, ...]:
        """The node ids of the tests that a class has or inherits, under its name."""
        if owner not in self._tests_of_class:
            methods = (method for base in self.with_bases(owner) for method in self.methods(base))
            names = {method.name for method in methods if self.tests_of(method)}
            self._tests_of_class[owner] = tuple(nodeid(owner.path, f"{owner.qualname}.{n}") for n in names)
        return self._tests_of_class[owner]

    def _subclasses(self, thing: Thing) -> Iterator[Thing]:
        """The classes that name this one as a base."""
        for spelling in self._spellings(thing.name):
            for path in self._spelled.files(spelling):
                below = self._heirs_in(path).get(spelling, ())
                yield from (each for each in below if thing in self.names.bases(each))

    def _heirs_in(self, path: str) -> Mapping[str, list[Thing]]:
        """The classes of a file by the last part of each base's name."""
        if path not in self._heirs:
            found = self._heirs[path] = defaultdict(list)
            for each in self.facts[path].classes:
                for base in each.bases:
                    found[base.rpartition(".")[2]].append(Thing("class", path, each.qualname))
        return self._heirs[path]

    def _nodeids(self, test: FunctionId) -> Iterator[str]:
        yield nodeid(test.path, test.qualname)
        owner = self.owner(test)
        for each in self.with_subclasses(owner) if owner else ():
            inherited = f"{each.qualname}.{test.name}"
            if inherited not in self.names.functions(each.path):
                yield nodeid(each.path, inherited)

    def _find_runners(self, code: FunctionId) -> set[FunctionId]:
        body = self.class_of(code)
        if body is not None:
            return self.users_of_class(body)
        owner = self.owner(code)
        found = self.users(code)
        if owner is not None:
            found |= self._users_in_family(code, owner)
            if code.name.startswith("__") or all(self.owner(user) == owner for user in found):
                found |= self.users_of_class(owner)
        return found

    def _users_in_family(self, method: FunctionId, owner: Thing) -> set[FunctionId]:
        """Who uses the method by the name of one that it overrides, or on `self` in a class that has none."""
        bases = self.with_bases(owner)
        overridden = (FunctionId(base.path, f"{base.qualname}.{method.name}") for base in bases)
        users = {user for each in overridden for user in self.users(each)}
        family = bases | self.with_subclasses(owner)
        within = self.mentions(method, {each.path for each in family})
        return users | {user for user in within if self.owner(user) in family}

    def look_for(self, names: Iterable[str]) -> None:
        """Find who uses these names in one go through the files: none needs to be come back to."""
        new = {name: _Named() for name in names if name not in self._named}
        wanted: defaultdict[str, list[str]] = defaultdict(list)
        for name in new:
            for spelling in self._spellings(name):
                wanted[spelling].append(name)
        for path in sorted({path for spelling in wanted for path in self._spelled.files(spelling)}):
            uses = self._uses_in(path)
            for spelling in sorted(wanted.keys() & uses.keys()):
                for name in wanted[spelling]:
                    self._sort_in(new[name], path, spelling, uses[spelling], loose=spelling == name)
        self._named.update(new)

    def _who_names(self, name: str) -> _Named:
        """Every use that spells `name`, or a name that an import gave to something called so."""
        if name not in self._named:
            self.look_for([name])
        return self._named[name]

    def _spellings(self, name: str) -> set[str]:
        """A name, and what imports call something of that name."""
        return _closure(name, lambda each: self._spelled.aliases.get(each, ()))

    def _sort_in(
        self, found: _Named, path: str, spelling: str, uses: Iterable[tuple[FunctionId, str]], *, loose: bool
    ) -> None:
        """Put those who spell it in a file where they belong."""
        for user, use in uses:
            before = f".{use}.".partition(f".{spelling}.")[0]
            thing = self.names.resolve(User(path, user.qualname), f"{before}.{spelling}"[1:])
            if thing is None:
                if loose and before:
                    found.loose[path].add(user)
            elif thing.kind == "class":
                found.classes[thing].add(user)
            elif thing.kind == "function":
                found.functions[FunctionId(thing.path, thing.qualname)].add(user)

    def _find_uses(self, path: str) -> Mapping[str, Sequence[tuple[FunctionId, str]]]:
        """By each name that a file spells: the code that uses it, and how it is written there."""
        found: defaultdict[str, list[tuple[FunctionId, str]]] = defaultdict(list)
        for qualname, uses in code_in(self.facts[path]):
            user = FunctionId(path, qualname)
            for use in uses:
                said = (user, use)
                for name in {*use.split(".")}:
                    found[name].append(said)
        return found

    def _called(self, thing: Thing) -> FunctionId | None:
        if thing.kind == "class":
            found = self.names.method(thing, "__init__", 0)
            return FunctionId(found.path, found.qualname) if found else None
        return FunctionId(thing.path, thing.qualname) if thing.kind == "function" else None


def unnumbered(function: FunctionId) -> FunctionId:
    """The first definition of the same name: a setter counts as used where the property is."""
    if "#" not in function.qualname:
        return function
    return FunctionId(function.path, re.sub(r"#\d+$", "", function.qualname))


def nodeid(path: str, qualname: str) -> str:
    """pytest's name of a test function or class."""
    return f"{path}::{qualname.replace('.', '::')}"


def _closure(start: _Each, more: Callable[[_Each], Iterable[_Each]]) -> set[_Each]:
    """`start` and everything that `more` leads to from there."""
    found, waiting = {start}, [start]
    while waiting:
        new = set(more(waiting.pop())) - found
        found |= new
        waiting += new
    return found
