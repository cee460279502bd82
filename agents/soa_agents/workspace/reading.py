"""Files read into facts: at a glance where that suffices, by the parser where it does not."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from tree_sitter import Node

from soa_agents.workspace.facts import ClassFact, FileFacts, FunctionFact, Import, Uses
from soa_agents.workspace.functions import Defined, Scope, defined, definitions, is_stub, line_of, name_of
from soa_agents.workspace.glance import glance
from soa_agents.workspace.snapshot import is_test_file
from soa_agents.workspace.syntax import Syntax, parse
from soa_agents.workspace.uses import MODULE, Reading, read

_BASES = frozenset({"identifier", "attribute", "subscript"})


def file_facts(path: str, text: str) -> FileFacts:
    """Everything the call graph needs to know of one file; never fails, whatever the text."""
    return glance(path, text) or parsed_facts(path, text)


def parsed_facts(path: str, text: str) -> FileFacts:
    """The same by the parser, which reads broken texts as well."""
    syntax = parse(text)
    test = is_test_file(path)
    found = tuple(definitions(syntax, path.endswith(".pyi")))
    reading = read(syntax, (node for node, scope in found if not _is_inner_class(node, scope)))
    own: defaultdict[str | None, dict[str, str]] = defaultdict(dict)
    for node, scope in found:
        if node.type == "function_definition":
            own[scope.owner].update(reading.uses[node.start_byte].annotated("self."))
    return FileFacts(
        path=path,
        is_test=test,
        functions=tuple(
            _function(syntax, each, reading.uses[each.node.start_byte].free(test))
            for each in defined(path, syntax, found)
        ),
        classes=tuple(
            _class(syntax, node, scope, reading, own)
            for node, scope in found
            if node.type == "class_definition"
        ),
        imports=tuple(dict.fromkeys(each for node in reading.imports for each in _imports(syntax, node))),
        uses=tuple(sorted(reading.uses[MODULE].used)),
        types=reading.uses[MODULE].annotated(),
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


def _class(
    syntax: Syntax, node: Node, scope: Scope, reading: Reading, own: Mapping[str | None, dict[str, str]]
) -> ClassFact:
    listed = node.child_by_field_name("superclasses")
    bases = [] if listed is None else [n for n in listed.named_children if n.type in _BASES]
    written = tuple(syntax.source(base).partition("[")[0].strip() for base in bases)
    inner = _is_inner_class(node, scope)
    uses = Uses() if inner else reading.uses[node.start_byte]
    name = scope.prefix + name_of(syntax, node)
    types = {**own.get(name, {}), **dict(uses.annotated())}
    return ClassFact(name, written, tuple(sorted(uses.used)), tuple(sorted(types.items())))


def _is_inner_class(node: Node, scope: Scope) -> bool:
    return node.type == "class_definition" and "<locals>" in scope.prefix
