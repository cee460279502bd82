"""What one file says about functions, imports and names: pure, a file at a time, and cheap to keep."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from soa_agents.workspace.ids import FunctionId

_CLASS = re.compile(r"(?:typing\.)?Optional\[\s*([^\W\d][\w.]*)\s*\]|([^\W\d][\w.]*)")
_QUOTES = str.maketrans("", "", "\"'")

Types = tuple[tuple[str, str], ...]  # names, and the classes that they are annotated with, as written


@dataclass(frozen=True, slots=True)
class Import:
    """`name` is bound to `attribute` of `module`, or to the module itself when `attribute` is "".

    `module` keeps the dots of a relative import; `name` is `*` when everything is bound.
    """

    name: str
    module: str
    attribute: str = ""


@dataclass(frozen=True, slots=True)
class FunctionFact:
    """One function and the names it uses.

    `uses` are dotted names as written (`helper`, `self.rate`, `mod.f`), `Cart.add` for an attribute of
    a local that is annotated as a `Cart`, and `.name` for one of anything else. What is asked of an attribute
    of `self` is there both ways, as `self.cart.add` and `.add`. Its own locals are left out,
    its parameters too unless it is a test or a fixture, whose parameters name fixtures.
    """

    qualname: str
    line: int
    owner: str | None
    is_stub: bool
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassFact:
    """One class, its bases as written, and the names used in it outside its methods.

    A class inside a function has none of its own: they are the function's. `types` are of its attributes,
    annotated in its own statements or on `self` in its methods.
    """

    qualname: str
    bases: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    types: Types = ()


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file says. `uses` are the names used outside functions and classes, `types` of those bound."""

    path: str
    is_test: bool
    functions: tuple[FunctionFact, ...] = ()
    classes: tuple[ClassFact, ...] = ()
    imports: tuple[Import, ...] = ()
    uses: tuple[str, ...] = ()
    types: Types = ()


class Survey(NamedTuple):
    """What is asked of all files of a workspace, where the facts of one are read when they are needed."""

    spelled: Iterable[tuple[str, str]]  # path, and the names it spells, as `spelled_in` gives them
    imports: Callable[[], Iterable[tuple[str, tuple[Import, ...]]]]


def survey(facts: Mapping[str, FileFacts]) -> Survey:
    """The survey of facts that are all at hand."""
    spelled = ((path, spelled_in(each)) for path, each in facts.items())
    return Survey(spelled, lambda: ((path, each.imports) for path, each in facts.items()))


def code_in(facts: FileFacts) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The pieces of code of a file by qualified name, and the names each uses."""
    yield FunctionId.MODULE, facts.uses
    yield from ((each.qualname, each.uses) for each in facts.classes)
    yield from ((each.qualname, each.uses) for each in facts.functions)


def spelled_in(facts: FileFacts) -> str:
    """The names that a file spells, a space between them; what an import calls otherwise is `name=alias`."""
    names = {*".".join(chain.from_iterable(uses for _, uses in code_in(facts))).split(".")}
    bases = (base for each in facts.classes for base in each.bases)
    names.update(*(base.split(".") for base in bases))
    names.discard("")
    return " ".join(sorted(names | aliases(facts.imports)))


def aliases(imports: Iterable[Import]) -> set[str]:
    """What imports call otherwise, as `name=alias`."""
    renamed = (each for each in imports if each.attribute and each.name not in (each.attribute, "*"))
    return {f"{each.attribute}={each.name}" for each in renamed}


@dataclass(slots=True)
class Uses:
    """The names of one function, of a class outside its functions, or of a module outside both."""

    used: set[str] = field(default_factory=set)  # dotted as written; `.name` behind any other expression
    bound: set[str] = field(default_factory=set)
    parameters: set[str] = field(default_factory=set)  # those that may name fixtures; they are bound too
    types: dict[str, str] = field(default_factory=dict)  # what bound names are annotated with

    def free(self, test: bool) -> tuple[str, ...]:
        """What is used and not bound here; an attribute of a local is its type's, or one of anything."""
        own = self.bound | self.parameters
        found = self.used - own
        for name in [name for name in found if "." in name]:
            head, *rest = name.split(".")
            if head in ("self", "cls"):
                found.discard(name)
                found.update([f"{head}.{rest[0]}", ".".join((head, *rest[:2]))])
                found.update([f".{part}" for part in rest[1:]])
            elif head in own:
                found.discard(name)
                known = self._type(head, own)
                found.update([f"{known}.{rest[0]}", *([".".join((known, *rest[:2]))] if known else [])])
                found.update([f".{part}" for part in rest[1:]])
        return tuple(sorted(found | self.parameters if test else found))

    def annotated(self, prefix: str = "") -> Types:
        """The names that begin with `prefix` and have no other dot, without it, and their classes."""
        known = ((name, annotated_class(said)) for name, said in self.types.items())
        own = ((name.removeprefix(prefix), said) for name, said in known if said and name.startswith(prefix))
        return tuple(sorted((name, said) for name, said in own if "." not in name))

    def _type(self, name: str, own: set[str]) -> str:
        """The class that a local is annotated with, as written there; "" where none is known."""
        annotated = annotated_class(self.types.get(name, ""))
        return "" if annotated.partition(".")[0] in own else annotated


def annotated_class(annotation: str) -> str:
    """`Cart` of `Cart`, `"Cart"`, `Cart | None` or `Optional[Cart]`; "" of any other annotation."""
    plain = annotation.translate(_QUOTES)
    parts = [part for each in plain.split("|") if (part := each.strip()) != "None"]
    found = _CLASS.fullmatch(parts[0]) if len(parts) == 1 else None
    return (found[1] or found[2]) if found else ""
