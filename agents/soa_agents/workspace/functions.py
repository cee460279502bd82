"""The functions of one file, with exact spans (tree-sitter), whatever else in the file is broken."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from tree_sitter import Node

from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.syntax import Span, Syntax, docstring_of, parse, statements, walk

__all__ = ["Function", "Scope", "Span", "dedented", "definitions", "functions", "innermost", "spans"]

# Texts whose functions are remembered. A job asks for those of the same few texts at every turn (folding its
# events, judging candidates, naming what ran); as the values are frozen, all can have the same ones.
_KEPT = 32
# Only these can hold a definition; expressions are never walked.
_HOLDERS = frozenset(
    {"module", "block", "ERROR", "decorated_definition", "function_definition", "class_definition"}
    | {"if_statement", "elif_clause", "else_clause", "for_statement", "while_statement", "with_statement"}
    | {"try_statement", "except_clause", "except_group_clause", "finally_clause"}
    | {"match_statement", "case_clause"}
)
_FIELDS = {"function_definition": "body", "class_definition": "body", "decorated_definition": "definition"}
ABSTRACT = frozenset(
    {"overload", "abstractmethod", "abstractproperty", "abstractclassmethod", "abstractstaticmethod"}
)


class Function(NamedTuple):
    """One function definition of a file."""

    id: FunctionId
    span: Span  # first decorator (or `def`, `async`) to the end of the last statement; no trailing newline
    name: Span
    signature: Span  # `def` or `async` up to and including the colon
    docstring: Span | None  # the string expression alone
    body: Span  # the statements after the docstring; empty at the docstring's end when there are none
    line: int  # 1-based line of `span.start`: what `co_firstlineno` says
    indent: str  # white space before the first decorator or `def`
    is_stub: bool
    is_async: bool
    owner: str | None  # qualname of the class it is directly in
    decorators: tuple[str, ...] = ()  # their texts, without `@`
    overloads: tuple[Span, ...] = ()  # spans of the `@overload` declarations that belong to it


def functions(path: str, text: str) -> tuple[Function, ...]:
    """Every function of `text` in file order, nested ones included.

    `@overload` declarations are part of the implementation that follows them and not listed themselves.
    """
    return _functions(path, text)


@lru_cache(maxsize=_KEPT)
def _functions(path: str, text: str) -> tuple[Function, ...]:
    syntax = parse(text)
    found = definitions(syntax, path.endswith(".pyi"))
    return tuple(function_of(syntax, each) for each in defined(path, syntax, found))


class Defined(NamedTuple):
    """One function among the definitions of a file."""

    id: FunctionId
    node: Node
    scope: Scope
    decorators: tuple[str, ...]
    overloads: tuple[Span, ...]


def defined(path: str, syntax: Syntax, found: Iterable[tuple[Node, Scope]]) -> Iterator[Defined]:
    """The functions among `definitions`, named; overloads belong to what they declare."""
    seen: Counter[str] = Counter()
    overloads: defaultdict[str, list[Span]] = defaultdict(list)
    for node, scope in found:
        if node.type == "class_definition":
            continue
        qualname = scope.prefix + name_of(syntax, node)
        decorators = decorators_of(syntax, node)
        if is_overload(decorators):
            overloads[qualname].append(_span(syntax, node))
            continue
        seen[qualname] += 1
        numbered = qualname if seen[qualname] == 1 else f"{qualname}#{seen[qualname]}"
        yield Defined(FunctionId(path, numbered), node, scope, decorators, tuple(overloads.pop(qualname, ())))


def innermost(found: tuple[Function, ...], offset: int) -> Function | None:
    """The innermost function whose span (or whose overloads' spans) holds the character `offset`.

    A cursor right behind a function's last character still stands in it.
    """
    holding = [
        (start, function)
        for function in found
        for start, end in (function.span, *function.overloads)
        if start <= offset <= end
    ]
    return max(holding, key=lambda pair: pair[0])[1] if holding else None


def dedented(text: str, function: Function) -> str:
    """A function's source as it would stand at the left margin, with `\\n` line ends and no final one.

    Docstrings move with the code; the lines of other strings are data and stay.
    """
    source = text[function.span.start : function.span.end]
    if function.indent and ("\n" in source or "\r" in source):
        source = _shift(source, function.indent)
    return re.sub(r"\r\n?", "\n", source)


def spans(path: str, text: str) -> dict[str, Span]:
    """The span of every function by its qualified name; how a patch finds its targets again."""
    return {function.id.qualname: function.span for function in functions(path, text)}


class Scope(NamedTuple):
    """Where a definition stands."""

    prefix: str = ""  # what its qualified name begins with
    owner: str | None = None  # the class it is directly in
    declares: bool = False  # bodies here are declarations: a Protocol, a `TYPE_CHECKING` block, a `.pyi` file


def definitions(
    syntax: Syntax, declared: bool = False, below: tuple[Node, Scope] | None = None, nested: bool = True
) -> Iterator[tuple[Node, Scope]]:
    """Every complete `def` and `class` node in file order, with the scope it stands in.

    `declared` says that the whole file holds declarations, as a `.pyi` file does. `below` keeps to one of
    these pairs and what is in it. Without `nested`, what is in functions is left out, and functions that may
    be incomplete are not.
    """
    stack = [below or (syntax.root, Scope(declares=declared))]
    while stack:
        node, scope = stack.pop()
        inner = scope
        kind = node.type
        if kind == "function_definition":
            if not nested:
                yield node, scope
                continue
            name = name_of(syntax, node)
            if not name or _colon(node) is None:
                continue
            yield node, scope
            inner = Scope(f"{scope.prefix}{name}.<locals>.", None, scope.declares)
        elif kind == "class_definition":
            yield node, scope
            qualname = scope.prefix + name_of(syntax, node)
            inner = Scope(f"{qualname}.", qualname, scope.declares or _is_protocol(syntax, node))
        checking = kind == "if_statement" and _is_type_checking(syntax, node)
        for child in reversed(_inside(node, kind)):
            if child.type in _HOLDERS:
                declares = checking and child.type == "block"
                stack.append((child, Scope(inner.prefix, inner.owner, True) if declares else inner))


def _inside(node: Node, kind: str) -> list[Node]:
    """The children that may hold definitions; making a value of each of the others would cost."""
    field = _FIELDS.get(kind)
    if field is None or node.has_error:  # after an error, they may stand anywhere
        return node.children
    inner = node.child_by_field_name(field)
    return [] if inner is None else [inner]


def function_of(syntax: Syntax, found: Defined) -> Function:
    """All that is said of a definition."""
    node = found.node
    span = _span(syntax, node)
    colon = _colon(node)
    assert colon is not None  # noqa: S101 - `definitions` leaves out definitions without one
    signature = Span(syntax.offset(node.start_byte), syntax.offset(colon.end_byte))
    string, rest = _parts(node)
    docstring = None if string is None else syntax.span(string)
    start = syntax.offset(rest[0].start_byte) if rest else (docstring or signature).end
    name = node.child_by_field_name("name")
    return Function(
        id=found.id,
        span=span,
        name=syntax.span(name or node),
        signature=signature,
        docstring=docstring,
        body=Span(start, max(start, span.end) if rest else start),
        line=line_of(syntax, node),
        indent=indent_at(syntax.text, span.start),
        is_stub=is_stub(syntax, found),
        is_async=node.children[0].type == "async",
        owner=found.scope.owner,
        decorators=found.decorators,
        overloads=found.overloads,
    )


def is_stub(syntax: Syntax, found: Defined) -> bool:
    """Is the body still to be written? Declarations have none."""
    if found.scope.declares or any(last_part(text) in ABSTRACT for text in found.decorators):
        return False
    return all(_is_placeholder(syntax, statement) for statement in _parts(found.node)[1])


def line_of(syntax: Syntax, node: Node) -> int:
    """The 1-based line of a definition's first decorator, or of its `def`."""
    return syntax.first_line(with_decorators(node))


def _parts(node: Node) -> tuple[Node | None, tuple[Node, ...]]:
    """A function's docstring, and the other statements of its body."""
    block = node.child_by_field_name("body")
    string = docstring_of(block)
    return string, statements(block)[0 if string is None else 1 :]


def _span(syntax: Syntax, node: Node) -> Span:
    return Span(syntax.offset(with_decorators(node).start_byte), syntax.end(node))


def with_decorators(node: Node) -> Node:
    """The definition with its decorators."""
    parent = node.parent
    return parent if parent is not None and parent.type == "decorated_definition" else node


def is_overload(decorators: Iterable[str]) -> bool:
    """Is a definition with these decorators an `@overload` declaration?"""
    return "overload" in map(last_part, decorators)


def decorators_of(syntax: Syntax, node: Node) -> tuple[str, ...]:
    """The decorators' texts, without `@`."""
    whole = with_decorators(node)
    if whole == node:
        return ()
    found = [child for child in whole.children if child.type == "decorator"]
    return tuple(syntax.source(each.named_children[0]) for each in found if each.named_children)


def name_of(syntax: Syntax, node: Node) -> str:
    """The name as Python knows it: identifiers are compared in normal form NFKC."""
    name = node.child_by_field_name("name")
    return unicodedata.normalize("NFKC", syntax.source(name)) if name is not None else ""


def _colon(node: Node) -> Node | None:
    return next((child for child in node.children if child.type == ":" and not child.is_missing), None)


def indent_at(text: str, start: int) -> str:
    """The white space between the line's begin and `start`; nothing where something else stands there."""
    begin = start
    while begin and text[begin - 1] in " \t\f":
        begin -= 1
    return text[begin:start] if not begin or text[begin - 1] in "\r\n" else ""


def last_part(expression: str) -> str:
    """`overload` for `overload`, `typing.overload`, `typing.overload(…)`, `Protocol` for `t.Protocol[T]`."""
    return expression.partition("(")[0].partition("[")[0].rpartition(".")[2].strip()


def _is_protocol(syntax: Syntax, node: Node) -> bool:
    bases = node.child_by_field_name("superclasses")
    return bases is not None and any(
        last_part(syntax.source(base)) == "Protocol" for base in bases.named_children
    )


def _is_type_checking(syntax: Syntax, node: Node) -> bool:
    condition = node.child_by_field_name("condition")
    return condition is not None and last_part(syntax.source(condition)) == "TYPE_CHECKING"


def _is_placeholder(syntax: Syntax, statement: Node) -> bool:
    """`...`, `pass` or `raise NotImplementedError[(…)]`."""
    if statement.type == "pass_statement":
        return True
    value = statement.named_children[0] if statement.named_children else None
    if statement.type == "expression_statement":
        return value is not None and value.type == "ellipsis"
    return (
        statement.type == "raise_statement"
        and value is not None
        and (syntax.source(value).partition("(")[0].strip() == "NotImplementedError")
    )


def _shift(source: str, indent: str) -> str:
    """The source without its indentation, string contents left alone.

    It is parsed by itself, under a line that it may be indented below: the file around it may be long.
    """
    syntax = parse(f"if 1:\n{indent}{source}\n")
    before = len(syntax.text) - len(source) - 1
    strings = (node for node in walk(syntax.root) if node.type == "string" and not _is_docstring(node))
    long = [syntax.span(node) for node in strings if node.start_point.row < node.end_point.row]
    parts, offset = [], before
    for line in re.findall(r".*?(?:\r\n|\r|\n)|.+\Z", source, re.DOTALL):
        held = any(start < offset < end for start, end in long)
        parts.append(line if held else line.removeprefix(indent))
        offset += len(line)
    return "".join(parts)


def _is_docstring(node: Node) -> bool:
    return node.parent is not None and node.parent.type == "expression_statement"
