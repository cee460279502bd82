"""A file as one skims it for a view: the names it binds, its classes, its functions in a line each. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from tree_sitter import Node

from soa_agents.workspace.functions import Function, dedented, definitions, functions, name_of
from soa_agents.workspace.outline import signature
from soa_agents.workspace.syntax import IMPORTS, Syntax, parse

_LONG_VALUE = 240  # characters of a constant that are shown
_LONG_LINE = 160  # characters of a docstring's first line that are shown
_BLOCKS = frozenset(
    {"block", "if_statement", "elif_clause", "else_clause", "with_statement"}
    | {"try_statement", "except_clause", "finally_clause"}
)


@dataclass(frozen=True, slots=True)
class Binding:
    """A module-level import or assignment: the names it binds and its text."""

    names: frozenset[str]
    source: str
    is_import: bool


@dataclass(frozen=True, slots=True)
class Class:
    """A class by its qualified name, and how it spells its bases."""

    qualname: str
    bases: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Skim:
    """What stands in one file, in file order. Compared by identity, which costs nothing."""

    path: str
    text: str
    bindings: tuple[Binding, ...]
    classes: tuple[Class, ...]
    functions: tuple[Function, ...]
    by_name: Mapping[str, Function]

    def function(self, qualname: str) -> Function | None:
        """The function of that qualified name."""
        return self.by_name.get(qualname)

    def class_named(self, qualname: str) -> Class | None:
        """The class of that qualified name."""
        return next((c for c in self.classes if c.qualname == qualname), None)


@lru_cache(maxsize=256)
def skim(path: str, text: str) -> Skim:
    """Skim a file, however broken it is."""
    syntax = parse(text)
    bindings = tuple(b for node in _top_level(syntax.root) if (b := _binding(syntax, node)))
    classes = tuple(
        Class(scope.prefix + name_of(syntax, node), _bases(syntax, node))
        for node, scope in definitions(syntax)
        if node.type == "class_definition"
    )
    bindings = tuple(b for b in bindings if not all(_is_special(n) for n in b.names))
    found = functions(path, text)
    return Skim(path, text, bindings, classes, found, {f.id.qualname: f for f in found})


def words(text: str) -> frozenset[str]:
    """The identifiers in a text."""
    return frozenset(re.findall(r"[^\W\d]\w*", text))


@lru_cache(maxsize=4096)
def code_of(text: str, function: Function) -> str:
    """The whole function, dedented.

    It is cut out first: dedenting parses what it is given, and a file may be long.
    """
    if not function.indent:
        return dedented(text, function)
    alone = f"if 1:\n{function.indent}{text[function.span.start : function.span.end]}\n"
    found = functions("", alone)
    return dedented(alone, found[0]) if found else dedented(text, function)


def said(text: str, function: Function) -> str:
    """The first line of the function's docstring, or nothing."""
    if function.docstring is None:
        return ""
    literal = text[function.docstring.start : function.docstring.end]
    inner = re.sub(r"^\w*(\"\"\"|'''|\"|')|(\"\"\"|'''|\"|')$", "", literal.strip()).strip()
    line = re.split(r"[\r\n]", inner, maxsplit=1)[0].strip()
    return line if len(line) <= _LONG_LINE else f"{line[:_LONG_LINE].rstrip()}…"


def brief(text: str, function: Function, unwritten: bool = False) -> str:
    """A function's signature and, as a comment, the first line of its docstring."""
    notes = ["not written yet"] if unwritten else []
    if line := said(text, function):
        notes.append(line)
    comment = f"  # {'; '.join(notes)}" if notes else ""
    return f"{signature(text, function)} ...{comment}"


def head(source: str) -> str:
    """A dedented function's signature and docstring with `...` for a body; a stub stays as it is."""
    found = functions("", source)
    if not found or found[0].is_stub:
        return source.strip("\n")
    end = (found[0].docstring or found[0].signature).end
    return f"{source[:end]}\n    ...".strip("\n")


def _is_special(name: str) -> bool:
    """`__all__` and its like: long, and nothing to call."""
    return name.startswith("__") and name.endswith("__")


def class_line(file: Skim, qualname: str) -> str:
    """The `class` statement's first line, without its decorators."""
    found = file.class_named(qualname)
    bases = f"({', '.join(found.bases)})" if found and found.bases else ""
    return f"class {qualname.rpartition('.')[2]}{bases}:"


def indented(text: str) -> str:
    """The text one level to the right."""
    return textwrap.indent(text, "    ")


def _top_level(node: Node) -> Iterator[Node]:
    """The module's statements, with those that stand in its `if`, `try` and `with` blocks."""
    for child in node.named_children:
        if child.type in _BLOCKS:
            yield from _top_level(child)
        else:
            yield child


def _binding(syntax: Syntax, node: Node) -> Binding | None:
    value = node.named_children[0] if node.named_children else None
    text = re.sub(r"\r\n?", "\n", syntax.source(node))
    remark = re.match(r"[ \t]*#[^\r\n]*", syntax.text[syntax.span(node).end :])
    note = "  # for type checkers only" if _for_checkers(syntax, node) else remark.group() if remark else ""
    if node.type in IMPORTS:
        return Binding(frozenset(_imported(syntax, node)), textwrap.dedent(text) + note, True)
    if node.type == "type_alias_statement":
        return Binding(words(text.partition("=")[0].partition("[")[0]) - {"type"}, text, False)
    if node.type == "expression_statement" and value is not None and value.type == "assignment":
        left = value.child_by_field_name("left")
        names = words(syntax.source(left)) if left is not None else frozenset()
        short = text + note if len(text) <= _LONG_VALUE else f"{text[:_LONG_VALUE].rstrip()} …  # shortened"
        return Binding(names, short, False)
    return None


def _for_checkers(syntax: Syntax, node: Node) -> bool:
    """Whether the statement stands under `if TYPE_CHECKING:`, so that its names are not there at run time."""
    block = node.parent
    test = block.parent.child_by_field_name("condition") if block and block.parent else None
    return test is not None and "TYPE_CHECKING" in syntax.source(test)


def _imported(syntax: Syntax, node: Node) -> Iterator[str]:
    """The names an import binds."""
    module = node.child_by_field_name("module_name")
    for child in node.named_children:
        if child == module or child.type == "comment":
            continue
        alias = child.child_by_field_name("alias")
        yield syntax.source(alias) if alias is not None else syntax.source(child).partition(".")[0]


def _bases(syntax: Syntax, node: Node) -> tuple[str, ...]:
    bases = node.child_by_field_name("superclasses")
    if bases is None:
        return ()
    return tuple(syntax.source(b) for b in bases.named_children if b.type != "keyword_argument")
