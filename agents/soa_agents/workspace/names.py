"""What a name means in a file of the workspace.

A name is followed through imports (absolute, relative, aliased, re-exported, `*`), enclosing functions,
`self`, base classes, the annotations of parameters, locals, attributes and a module's variables and, in
tests, fixtures. An attribute of an unknown object means nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from soa_agents.workspace.facts import ClassFact, FileFacts, FunctionFact, Import, Survey
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.modules import Modules
from soa_agents.workspace.snapshot import is_test_file

_DEEP = 12  # re-exports and base classes are followed no further


class Thing(NamedTuple):
    """What a name means: a function, a class or a module of the workspace."""

    kind: Literal["function", "class", "module", "value"]  # the last on the way only: a value of a class
    path: str
    qualname: str = FunctionId.MODULE

    @property
    def name(self) -> str:
        """The last part of the qualified name."""
        return self.qualname.rpartition(".")[2]


class User(NamedTuple):
    """Code that uses a name: a function, a class's own statements, or a module's (`<module>`)."""

    path: str
    qualname: str


class _File(NamedTuple):
    """What a file defines, imports and annotates, by name."""

    functions: dict[str, FunctionFact]
    classes: dict[str, ClassFact]
    imports: dict[str, list[Import]]
    types: dict[str, str]


class Names:
    """The names of a workspace. Read-only once made; answers are remembered."""

    def __init__(self, facts: Mapping[str, FileFacts], known: Survey, held: int | None = None) -> None:
        """`held`: the names of how many files are remembered, those of all when None."""
        self.facts = facts
        self.modules = Modules(facts, known)
        self._file = lru_cache(maxsize=held)(self._find_file)
        self._bases: dict[Thing, tuple[Thing, ...]] = {}
        self._resolved: dict[tuple[User, str], Thing | None] = {}

    def functions(self, path: str) -> Mapping[str, FunctionFact]:
        """The functions of a file by qualified name; none of a file that is not in the workspace."""
        return self._file(path).functions

    def classes(self, path: str) -> Mapping[str, ClassFact]:
        """The classes of a file by qualified name."""
        return self._file(path).classes

    def imports(self, path: str) -> Mapping[str, Sequence[Import]]:
        """The imports of a file by the name that each binds."""
        return self._file(path).imports

    def _find_file(self, path: str) -> _File:
        facts = self.facts.get(path) or FileFacts(path, is_test=False)
        return _File(
            {each.qualname: each for each in facts.functions},
            {each.qualname: each for each in facts.classes},
            _by_name(facts.imports),
            dict(facts.types),
        )

    def resolve(self, user: User, name: str) -> Thing | None:
        """What the dotted `name` means in the code of `user`; None for what is foreign or unsure."""
        key = (user, name)
        if key not in self._resolved:
            self._resolved[key] = None  # an annotation that leads to itself leads nowhere
            found = self._resolve(user, name.split("."))
            self._resolved[key] = found if found and found.kind != "value" else None
        return self._resolved[key]

    def _resolve(self, user: User, parts: list[str]) -> Thing | None:
        head, *rest = parts
        if not head:
            return None
        if head in ("self", "cls"):
            owner = self._class_around(user)
            return self._through(owner, rest) if owner and rest else None
        return (
            self._through(self._enclosed(user, head), rest)
            or self._imported(user.path, parts)
            or self._through(self._variable(user.path, head), rest)
        )

    def _enclosed(self, user: User, name: str) -> Thing | None:
        """A function or class of the enclosing functions, of the module, or a fixture of a conftest."""
        scopes = user.qualname.split(".<locals>.") if user.qualname != FunctionId.MODULE else []
        for depth in range(len(scopes), 0, -1):
            found = self.defined(user.path, f"{'.<locals>.'.join(scopes[:depth])}.<locals>.{name}")
            if found is not None:
                return found
        if user.qualname in self.classes(user.path):  # a class body sees what stands in it
            found = self.defined(user.path, f"{user.qualname}.{name}")
            if found is not None:
                return found
        found = self.defined(user.path, name)
        if found is None and is_test_file(user.path) and name not in self.imports(user.path):
            fixtures = (self.defined(path, name) for path in self.modules.conftests(user.path))
            found = next((fixture for fixture in fixtures if fixture), None)
        return found

    def _class_around(self, user: User) -> Thing | None:
        scope = user.qualname
        while scope := scope.rpartition(".")[0]:
            if scope in self.classes(user.path):
                return Thing("class", user.path, scope)
        return None

    def _imported(self, path: str, parts: list[str], depth: int = 0) -> Thing | None:
        """What a dotted name means by the imports of a file; the longest `import a.b` wins."""
        names = self.imports(path)
        for size in range(len(parts), 0, -1):
            for each in names.get(".".join(parts[:size]), ()):
                found = self._through(self._bound(path, each, depth), parts[size:], depth)
                if found is not None:
                    return found
        for each in names.get("*", ()):
            module = self.modules.file(each.module, path)
            found = self._member(module, parts[0], depth + 1) if module else None
            if found is not None:
                return self._through(found, parts[1:], depth)
        return None

    def _bound(self, path: str, each: Import, depth: int) -> Thing | None:
        """What one import binds."""
        module = self.modules.file(each.module, path)
        if not each.attribute:
            return Thing("module", module) if module else None
        found = self._member(module, each.attribute, depth + 1) if module else None
        if found is None:
            dot = "" if each.module.endswith(".") else "."
            below = self.modules.file(f"{each.module}{dot}{each.attribute}", path)
            found = Thing("module", below) if below else None
        return found

    def _through(self, thing: Thing | None, rest: list[str], depth: int = 0) -> Thing | None:
        """Follow attributes from a thing on; an attribute of a function is the function's."""
        for name in rest:
            if thing is None or thing.kind == "function":
                return thing
            if thing.kind in ("class", "value"):
                owner = thing._replace(kind="class")
                thing = self.method(owner, name, depth) or self._attribute(owner, name)
            else:
                thing = self._member(thing.path, name, depth + 1)
        return thing

    def _member(self, module: str, name: str, depth: int) -> Thing | None:
        """What `name` is in a module: its own definition, something it imports, or a submodule."""
        if depth > _DEEP:
            return None
        found = (
            self.defined(module, name)
            or self._imported(module, [name], depth)
            or self._variable(module, name)
        )
        if found is None:
            below = self.modules.submodule(module, name)
            found = Thing("module", below) if below else None
        return found

    def method(self, owner: Thing, name: str, depth: int) -> Thing | None:
        """A method or inner class, the bases' included."""
        found = self.defined(owner.path, f"{owner.qualname}.{name}")
        if found is not None or depth > _DEEP:
            return found
        for parent in self.bases(owner):
            found = self.method(parent, name, depth + 1)
            if found is not None:
                return found
        return None

    def _variable(self, path: str, name: str) -> Thing | None:
        """The value that a module's annotated variable has."""
        said = self._file(path).types.get(name)
        return self._value(User(path, FunctionId.MODULE), said)

    def _attribute(self, owner: Thing, name: str, depth: int = 0) -> Thing | None:
        """The value that an annotated attribute of a class has, the bases' included."""
        said = dict(self.classes(owner.path)[owner.qualname].types).get(name)
        if said is not None or depth > _DEEP:
            return self._value(User(owner.path, owner.qualname), said)
        found = (self._attribute(parent, name, depth + 1) for parent in self.bases(owner))
        return next((each for each in found if each), None)

    def _value(self, where: User, annotation: str | None) -> Thing | None:
        """A value of the class that an annotation names."""
        of = self.resolve(where, annotation) if annotation else None
        return of._replace(kind="value") if of and of.kind == "class" else None

    def bases(self, owner: Thing) -> tuple[Thing, ...]:
        """The classes of the workspace that a class names as its bases."""
        if owner not in self._bases:
            self._bases[owner] = self._find_bases(owner)
        return self._bases[owner]

    def _find_bases(self, owner: Thing) -> tuple[Thing, ...]:
        fact = self.classes(owner.path).get(owner.qualname, ClassFact(""))
        around = owner.qualname.rpartition(".")[0].removesuffix(".<locals>") or FunctionId.MODULE
        found = (self.resolve(User(owner.path, around), base) for base in fact.bases)
        return tuple(each for each in found if each and each.kind == "class" and each != owner)

    def defined(self, path: str, qualname: str) -> Thing | None:
        """The function or class of that qualified name in a file."""
        if qualname in self.functions(path):
            return Thing("function", path, qualname)
        return Thing("class", path, qualname) if qualname in self.classes(path) else None


def _by_name(imports: tuple[Import, ...]) -> dict[str, list[Import]]:
    found: dict[str, list[Import]] = {}
    for each in _with_packages(imports):
        found.setdefault(each.name, []).append(each)
    return found


def _with_packages(imports: tuple[Import, ...]) -> Iterator[Import]:
    """`import a.b` binds `a` as well."""
    for each in imports:
        yield each
        if not each.attribute and "." in each.name:
            head = each.name.partition(".")[0]
            yield Import(head, head)
