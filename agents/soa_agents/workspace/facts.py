"""What one file says about functions, imports and names: pure, a file at a time, and cheap to keep."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tree_sitter import Node

from soa_agents.workspace.functions import definitions, functions, name_of, with_decorators
from soa_agents.workspace.snapshot import is_test_file
from soa_agents.workspace.syntax import Syntax, parse

_BINDS = {  # node -> the field that binds (or merely labels) what it names
    "assignment": "left",
    "for_statement": "left",
    "for_in_clause": "left",
    "named_expression": "name",
    "default_parameter": "name",
    "typed_default_parameter": "name",
    "function_definition": "name",
    "class_definition": "name",
    "keyword_argument": "name",
}
_LABELS = frozenset({"function_definition", "class_definition", "keyword_argument"})
_PARAMETERS = frozenset({"parameters", "lambda_parameters", "typed_parameter"})
_SPLATS = frozenset({"list_splat_pattern", "dictionary_splat_pattern"})
_PATTERNS = _SPLATS | {"pattern_list", "tuple_pattern", "list_pattern", "parenthesized_expression"}
_BASES = frozenset({"identifier", "attribute", "subscript"})


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

    `uses` are dotted names as written (`helper`, `self.rate`, `mod.f`), and `.name` for an attribute of
    anything else. Its own locals are left out, its parameters too unless it is a test or a fixture, whose
    parameters name fixtures.
    """

    qualname: str
    line: int
    owner: str | None
    is_stub: bool
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassFact:
    """One class, its bases as written."""

    qualname: str
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file says. `uses` are the names used outside functions."""

    path: str
    is_test: bool
    functions: tuple[FunctionFact, ...] = ()
    classes: tuple[ClassFact, ...] = ()
    imports: tuple[Import, ...] = ()
    uses: tuple[str, ...] = ()


def file_facts(path: str, text: str) -> FileFacts:
    """Everything the call graph needs to know of one file; never fails, whatever the text."""
    syntax = parse(text)
    test = is_test_file(path)
    reading = _read(syntax)
    return FileFacts(
        path=path,
        is_test=test,
        functions=tuple(
            FunctionFact(f.id.qualname, f.line, f.owner, f.is_stub, reading.uses(f.span.start, test))
            for f in functions(path, text)
        ),
        classes=tuple(_classes(syntax)),
        imports=tuple(dict.fromkeys(reading.imports)),
        uses=tuple(sorted(reading.module.used)),
    )


@dataclass(slots=True)
class _Names:
    """The names of one function (or of the module outside functions) while it is read.

    `parameters` are those that may name fixtures; they are bound too.
    """

    used: set[str] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)
    parameters: set[str] = field(default_factory=set)

    def uses(self, test: bool) -> tuple[str, ...]:
        """What is used and not bound here; an attribute of a local is an attribute of anything."""
        found = set(self.parameters) if test else set()
        for name in self.used:
            head, *rest = name.split(".")
            if head in ("self", "cls") and rest:
                found.add(f"{head}.{rest[0]}")
                found.update(f".{part}" for part in rest[1:])
            elif head in self.bound:
                found.update(f".{part}" for part in rest)
            else:
                found.add(name)
        return tuple(sorted(found))


@dataclass(slots=True)
class _Reading:
    """One walk over a file. Functions are keyed by where their spans start, in characters."""

    module: _Names = field(default_factory=_Names)
    functions: dict[int, _Names] = field(default_factory=dict)
    imports: list[Import] = field(default_factory=list)

    def uses(self, start: int, test: bool) -> tuple[str, ...]:
        """What the function that starts there uses."""
        names = self.functions.get(start)
        return names.uses(test) if names is not None else ()


def _read(syntax: Syntax) -> _Reading:
    reading = _Reading()
    stack: list[tuple[Node, _Names, bool]] = [(syntax.root, reading.module, False)]
    while stack:
        node, names, binds = stack.pop()
        kind = node.type
        if kind in ("import_statement", "import_from_statement"):
            reading.imports += _imports(syntax, node)
        elif kind == "identifier":
            (names.bound if binds else names.used).add(syntax.source(node))
        elif kind == "dotted_name":
            names.used.add(syntax.source(node))
        elif kind == "attribute":
            stack += ((rest, names, False) for rest in _attribute(syntax, node, names))
        else:
            if _defines(node):
                start = syntax.offset(with_decorators(node).start_byte)
                names = reading.functions.setdefault(start, _Names())
            stack += _below(syntax, node, names, binds)
    return reading


def _defines(node: Node) -> bool:
    """A function, or the decorators around one, which belong to it."""
    if node.type == "decorated_definition":
        inner = node.child_by_field_name("definition")
        return inner is not None and inner.type == "function_definition"
    return node.type == "function_definition"


def _attribute(syntax: Syntax, node: Node, names: _Names) -> Iterator[Node]:
    """Note `a.b.c` as one name, or `.c` and what stands before it as an expression of its own."""
    parts = []
    while node.type == "attribute":
        name, value = node.child_by_field_name("attribute"), node.child_by_field_name("object")
        if name is None or value is None:
            return
        parts.append(syntax.source(name))
        node = value
    if node.type == "identifier":
        names.used.add(".".join([syntax.source(node), *reversed(parts)]))
    else:
        names.used.update(f".{part}" for part in parts)
        yield node


def _below(syntax: Syntax, node: Node, names: _Names, binds: bool) -> Iterator[tuple[Node, _Names, bool]]:
    """The named children to read, with whether an identifier among them is bound there."""
    kind = node.type
    target = node.child_by_field_name(_BINDS[kind]) if kind in _BINDS else None
    for child in node.named_children:
        parameter = kind in _PARAMETERS and (child.type == "identifier" or child.type in _SPLATS)
        if child == target and kind in _LABELS:
            continue
        if parameter and child.type == "identifier":
            names.parameters.add(syntax.source(child))
        inherited = binds and kind in _PATTERNS
        yield child, names, child == target or parameter or inherited or kind == "as_pattern_target"


def _imports(syntax: Syntax, node: Node) -> Iterator[Import]:
    origin = node.child_by_field_name("module_name")
    module = "" if origin is None else re.sub(r"\s", "", syntax.source(origin))
    if any(child.type == "wildcard_import" for child in node.children):
        yield Import("*", module)
    for each in node.children_by_field_name("name"):
        alias = each.child_by_field_name("alias")
        named = each.child_by_field_name("name") if alias is not None else each
        name = syntax.source(named) if named is not None else ""
        bound = syntax.source(alias) if alias is not None else name
        if origin is None:
            yield Import(bound, name)  # `import a.b` is found under `a.b`, longest first
        else:
            yield Import(bound, module, name)


def _classes(syntax: Syntax) -> Iterator[ClassFact]:
    for node, scope in definitions(syntax):
        if node.type == "class_definition":
            listed = node.child_by_field_name("superclasses")
            bases = [] if listed is None else [n for n in listed.named_children if n.type in _BASES]
            written = tuple(syntax.source(base).partition("[")[0].strip() for base in bases)
            yield ClassFact(scope.prefix + name_of(syntax, node), written)
