"""What one file says about functions, imports and names: pure, a file at a time, and cheap to keep."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from soa_agents.workspace.functions import Defined, Scope, defined, definitions, is_stub, line_of, name_of
from soa_agents.workspace.snapshot import is_test_file
from soa_agents.workspace.syntax import Syntax, parse
from soa_agents.workspace.uses import MODULE, Reading, read

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
    """One class, its bases as written, and the names used in it outside its methods.

    A class inside a function has none of its own: they are the function's.
    """

    qualname: str
    bases: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file says. `uses` are the names used outside functions and classes."""

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
    found = tuple(definitions(syntax, path.endswith(".pyi")))
    reading = read(syntax, (node for node, scope in found if not _is_inner_class(node, scope)))
    return FileFacts(
        path=path,
        is_test=test,
        functions=tuple(
            _function(syntax, each, reading.uses[each.node.start_byte].free(test))
            for each in defined(path, syntax, found)
        ),
        classes=tuple(
            _class(syntax, node, scope, reading) for node, scope in found if node.type == "class_definition"
        ),
        imports=tuple(dict.fromkeys(each for node in reading.imports for each in _imports(syntax, node))),
        uses=tuple(sorted(reading.uses[MODULE].used)),
    )


def _function(syntax: Syntax, found: Defined, used: tuple[str, ...]) -> FunctionFact:
    line = line_of(syntax, found.node)
    return FunctionFact(found.id.qualname, line, found.scope.owner, is_stub(syntax, found), used)


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


def _class(syntax: Syntax, node: Node, scope: Scope, reading: Reading) -> ClassFact:
    listed = node.child_by_field_name("superclasses")
    bases = [] if listed is None else [n for n in listed.named_children if n.type in _BASES]
    written = tuple(syntax.source(base).partition("[")[0].strip() for base in bases)
    used = () if _is_inner_class(node, scope) else tuple(sorted(reading.uses[node.start_byte].used))
    return ClassFact(scope.prefix + name_of(syntax, node), written, used)


def _is_inner_class(node: Node, scope: Scope) -> bool:
    return node.type == "class_definition" and "<locals>" in scope.prefix
