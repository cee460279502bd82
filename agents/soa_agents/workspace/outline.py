"""What a reader needs of a file beside one function: headers, signatures, docstrings, in bounded texts."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from tree_sitter import Node

from soa_agents.workspace.functions import (
    Function,
    definitions,
    functions,
    indent_at,
    name_of,
    with_decorators,
)
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.live import Live, parsed_at
from soa_agents.workspace.syntax import (
    IMPORTS,
    Span,
    Syntax,
    docstring_of,
    line_end,
    parsed,
    statements,
    walk,
)

_CODE = re.compile(r"^[ \t\f]*[^\s#]", re.MULTILINE)


class DocstringPlace(NamedTuple):
    """A docstring, and where functions that it describes would go.

    `insert` is an offset at a line's end: of the class's last line, of the function's last line, or the end
    of the module. `indent` is what a definition put there begins with.
    """

    id: FunctionId  # `path::<module>`, a class or a function
    kind: Literal["module", "class", "function"]
    span: Span  # of the string expression
    text: str  # what it says, cleaned as `inspect.cleandoc` does
    insert: int
    indent: str


@lru_cache(maxsize=64)
def docstrings(path: str, text: str) -> tuple[DocstringPlace, ...]:
    """The docstrings of a file's module, classes and functions in file order."""
    syntax = parsed(text)
    found = [docstring_in(text, function) for function in functions(path, text) if function.docstring]
    return tuple(sorted([*found, *_of_module_and_classes(path, syntax)], key=lambda place: place.span))


def documented_at(live: Live, offset: int) -> FunctionId | None:
    """What the docstring is of that holds the character `offset`: a function, a class or the module."""
    function = live.function_at(offset)
    if function and function.docstring and function.docstring.start <= offset <= function.docstring.end:
        return function.id
    seen = parsed_at(live, offset)
    if seen is None:
        return None  # typed since: in the lines of a function, where no module or class has its docstring
    syntax, at = seen
    byte = syntax.byte(at)
    nodes = (syntax.root.descendant_for_byte_range(each, each) for each in (byte, max(byte - 1, 0)))
    string = next((found for node in nodes if node and (found := _docstring_around(node))), None)
    if string is None:
        return None  # most places: nothing more needs to be looked at
    names = _names_around(syntax, string)
    if not names:
        before = live.text[: syntax.offset(string.start_byte) + offset - at]
        return None if _CODE.search(before) else FunctionId(live.path, FunctionId.MODULE)
    if not indent_at(syntax.text, syntax.offset(string.start_byte)):
        return None  # nothing fits into `class A: "…"`
    if len(re.findall(rf"\bclass[ \t]+{names[-1]}\b", live.text)) > 1:  # it may have a number
        places = docstrings(live.path, live.text)
        return next((place.id for place in places if place.span.start <= offset <= place.span.end), None)
    return FunctionId(live.path, "".join(names))


def _docstring_around(node: Node) -> Node | None:
    """The docstring of a module or class that the node is, or is a part of."""
    if not node.type.startswith(("string", "escape")):
        return None
    part: Node | None = node
    while part is not None and part.type != "expression_statement":
        part = part.parent
    block = part.parent if part is not None else None
    holder = block.parent if block is not None and block.type == "block" else block
    if part is None or holder is None or holder.type not in ("module", "class_definition"):
        return None
    string = docstring_of(block)
    return string if string is not None and part.start_byte <= string.start_byte < part.end_byte else None


def _names_around(syntax: Syntax, node: Node) -> list[str]:
    """The qualified name of the class that a node stands in, in parts; none in a module."""
    parts: list[str] = []
    around = node.parent
    while around is not None:
        if around.type in ("class_definition", "function_definition"):
            join = "." if around.type == "class_definition" else ".<locals>."
            parts += [*([join] if parts else []), name_of(syntax, around)]
        around = around.parent
    return parts[::-1]


def docstring_place(path: str, text: str, qualname: str) -> DocstringPlace | None:
    """The docstring of the module (`<module>`), class or function of that qualified name."""
    return next((d for d in docstrings(path, text) if d.id.qualname == qualname), None)


def signature(text: str, function: Function) -> str:
    """The decorators and the `def` line up to its colon, at the left margin."""
    lines = re.split(r"\r\n?|\n", text[function.span.start : function.signature.end])
    return "\n".join(line.removeprefix(function.indent) for line in lines)


def summary(text: str, function: Function) -> str:
    """A function in brief: its signature, the first paragraph of its docstring in one line, and `...`."""
    said = ""
    if function.docstring is not None:
        said = _first_paragraph(_clean(text[function.docstring.start : function.docstring.end]))
    return signature(text, function) + (f'\n    """{said}"""' if said else "") + "\n    ..."


def header(text: str, limit: int = 3000) -> str:
    """A module's imports and then its constants, as far as they fit into `limit` characters."""
    syntax = parsed(text)
    top = statements(syntax.root)
    imports = [node for node in top if _imports(node)]
    constants = [node for node in top if _is_constant(node)]
    return "\n".join(_fitting((_source(syntax, node) for node in (*imports, *constants)), limit))


def siblings(text: str, found: Iterable[Function], function: Function, limit: int = 4000) -> str:
    """The summaries of the functions beside `function`: same class or module level, nearest first to stay."""
    scope = function.id.qualname.rpartition(".")[0]
    beside = [f for f in found if f.id != function.id and f.id.qualname.rpartition(".")[0] == scope]
    beside.sort(key=lambda f: abs(f.span.start - function.span.start))
    kept = set(_fitting((summary(text, f) for f in beside), limit))
    return "\n\n".join(
        s for f in sorted(beside, key=lambda f: f.span.start) if (s := summary(text, f)) in kept
    )


def class_header(text: str, qualname: str, limit: int = 1500) -> str:
    """A class's `class` line with its decorators, its docstring's first paragraph and its fields; or ""."""
    syntax = parsed(text)
    for node, scope in definitions(syntax):
        if node.type == "class_definition" and scope.prefix + name_of(syntax, node) == qualname:
            return _class_header(syntax, node, limit)
    return ""


def _class_header(syntax: Syntax, node: Node, limit: int) -> str:
    block = node.child_by_field_name("body")
    start = syntax.offset(with_decorators(node).start_byte)
    colon = next((child for child in node.children if child.type == ":"), node)
    indent = indent_at(syntax.text, start)
    head = syntax.text[start : syntax.offset(colon.end_byte)]
    lines = [line.removeprefix(indent) for line in re.split(r"\r\n?|\n", head)]
    string = docstring_of(block)
    if string is not None:
        lines.append(f'    """{_first_paragraph(_clean(syntax.source(string)))}"""')
    fields = (_source(syntax, each) for each in statements(block) if _is_constant(each))
    return "\n".join([*lines, *(f"    {field}" for field in _fitting(fields, limit))])


def docstring_in(text: str, function: Function) -> DocstringPlace:
    """The docstring of a function that has one."""
    span = function.docstring or function.body
    said = _clean(text[span.start : span.end])
    insert = line_end(text, function.span.end)
    return DocstringPlace(function.id, "function", span, said, insert, function.indent)


def _of_module_and_classes(path: str, syntax: Syntax) -> Iterator[DocstringPlace]:
    module = docstring_of(syntax.root)
    if module is not None:
        place = FunctionId(path, FunctionId.MODULE)
        said = _clean(syntax.source(module))
        yield DocstringPlace(place, "module", syntax.span(module), said, len(syntax.text), "")
    seen: Counter[str] = Counter()
    for node, scope in definitions(syntax):
        if node.type == "class_definition":
            qualname = scope.prefix + name_of(syntax, node)
            seen[qualname] += 1
            numbered = qualname if seen[qualname] == 1 else f"{qualname}#{seen[qualname]}"
            yield from _of_class(syntax, node, FunctionId(path, numbered))


def _of_class(syntax: Syntax, node: Node, place: FunctionId) -> Iterator[DocstringPlace]:
    block = node.child_by_field_name("body")
    string = docstring_of(block)
    if string is None or block is None:
        return
    indent = indent_at(syntax.text, syntax.offset(block.start_byte))
    if indent:  # nothing fits into `class A: "…"`
        insert = line_end(syntax.text, syntax.end(node))
        said = _clean(syntax.source(string))
        yield DocstringPlace(place, "class", syntax.span(string), said, insert, indent)


def _clean(literal: str) -> str:
    """What a string expression says; its own text where it is no complete literal."""
    try:
        value = ast.literal_eval(f"({literal})")
    except (SyntaxError, ValueError):
        value = literal
    return inspect.cleandoc(value if isinstance(value, str) else literal)


def _first_paragraph(said: str) -> str:
    return " ".join(said.partition("\n\n")[0].split()).replace('"""', "'''")


def _imports(node: Node) -> bool:
    """An import, or an `if` or `try` statement around imports."""
    if node.type in IMPORTS:
        return True
    return node.type in ("if_statement", "try_statement") and any(n.type in IMPORTS for n in walk(node))


def _is_constant(node: Node) -> bool:
    if node.type == "type_alias_statement":
        return True
    value = node.named_children[0] if node.named_children else None
    return node.type == "expression_statement" and value is not None and value.type == "assignment"


def _source(syntax: Syntax, node: Node) -> str:
    return re.sub(r"\r\n?", "\n", syntax.source(node))


def _fitting(pieces: Iterable[str], limit: int) -> Iterator[str]:
    """The pieces that fit into `limit` characters together; one that does not is passed over."""
    left = limit
    for piece in pieces:
        if len(piece) < left:
            left -= len(piece) + 1
            yield piece
