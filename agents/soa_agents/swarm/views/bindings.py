"""What a module binds beside functions and classes: its imports and constants, as they are quoted. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tree_sitter import Node

from soa_agents.workspace.syntax import IMPORTS, Syntax, statements, walk

_LONG_VALUE = 400  # characters of a constant; a longer one is quoted in short
_LONG_TABLE = 1200  # characters of the keys of a mapping, which are quoted all as far as these go
_FEW = 8  # elements that are all mentioned, each in as short as need be
_LONG_BLOCK = 800  # characters of an `if` or `try` statement that is quoted as it stands
_COLLECTIONS = frozenset({"dictionary", "list", "set", "tuple", "argument_list"})
_BRANCHES = frozenset({"if_statement", "try_statement", "with_statement"})
_BLOCKS = _BRANCHES | {"block", "elif_clause", "else_clause", "except_clause", "finally_clause"}
_DEFINITIONS = frozenset({"function_definition", "class_definition", "decorated_definition"})


@dataclass(frozen=True, slots=True)
class Imported:
    """A name bound by an import: `name` here is `attribute` of `module`, or the module itself without one."""

    name: str
    module: str
    attribute: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """Module-level imports or an assignment: the names bound, the text, and a text of bounded length.

    An `if` or `try` statement around such statements is one binding, so that its branches stay branches.
    """

    names: frozenset[str]
    source: str
    short: str
    imports: tuple[Imported, ...] = ()


def bindings(syntax: Syntax) -> tuple[Binding, ...]:
    """What the module binds, in file order; `__all__` and its like left out."""
    found = [each for node in statements(syntax.root) for each in _bindings(syntax, node)]
    return tuple(each for each in found if not all(_is_special(name) for name in each.names))


@lru_cache(maxsize=512)
def words(text: str) -> frozenset[str]:
    """The identifiers in a text."""
    return frozenset(re.findall(r"[^\W\d]\w*", text))


def _bindings(syntax: Syntax, node: Node) -> Iterator[Binding]:
    if node.type not in _BRANCHES:
        if simple := _simple(syntax, node):
            yield simple
        return
    inner = [each for part in _inner(node) if (each := _simple(syntax, part))]
    text = _plain(syntax.source(node))
    if not inner:
        return
    if len(text) <= _LONG_BLOCK and not any(part.type in _DEFINITIONS for part in walk(node)):
        imports = tuple(each for binding in inner for each in binding.imports)
        yield Binding(frozenset[str]().union(*(b.names for b in inner)), text, text, imports)
        return
    condition = text.partition("\n")[0].partition(":")[0]
    in_try = node.type == "try_statement"
    note = "  # if available" if in_try else f"  # in a branch of `{condition[:60]}`"
    for each in inner:
        yield Binding(each.names, each.source + note, each.short + note, each.imports)


def _inner(node: Node) -> Iterator[Node]:
    """The statements in the blocks of a compound statement."""
    for child in node.named_children:
        if child.type in _BLOCKS:
            yield from _inner(child)
        elif node.type == "block":
            yield child


def _simple(syntax: Syntax, node: Node) -> Binding | None:
    text = _plain(syntax.source(node))
    remark = re.match(r"[ \t]*#[^\r\n]*", syntax.text[syntax.span(node).end :])
    note = remark.group() if remark else ""
    if node.type in IMPORTS:
        imports = tuple(_imported(syntax, node))
        text = _on_one_line(text) + note
        return Binding(frozenset(i.name for i in imports), text, text, imports)
    if node.type == "type_alias_statement":
        return Binding(words(text.partition("=")[0].partition("[")[0]) - {"type"}, text, text)
    value = node.named_children[0] if node.named_children else None
    if node.type != "expression_statement" or value is None or value.type != "assignment":
        return None
    left = value.child_by_field_name("left")
    if left is None or left.type in ("attribute", "subscript"):
        return None
    names = words(syntax.source(left))
    if len(text) <= _LONG_VALUE:
        return Binding(names, text + note, text + note)
    short = _abridged(syntax, value, _LONG_VALUE)
    cut = short != " ".join(syntax.source(value).split())
    return Binding(names, text + note, f"{short}  # shortened" if cut else short)


def _imported(syntax: Syntax, node: Node) -> Iterator[Imported]:
    """The names an import binds."""
    module = node.child_by_field_name("module_name")
    source = syntax.source(module) if module is not None else ""
    if node.type == "future_import_statement":
        source = "__future__"
    for child in node.named_children:
        if child == module or child.type == "comment":
            continue
        alias, name = child.child_by_field_name("alias"), child.child_by_field_name("name")
        original = syntax.source(name if name is not None else child)
        if source:
            yield Imported(syntax.source(alias) if alias is not None else original, source, original)
        elif alias is not None:
            yield Imported(syntax.source(alias), original)
        else:
            yield Imported(original.partition(".")[0], original.partition(".")[0])


def _abridged(syntax: Syntax, node: Node, limit: int) -> str:
    """A value in about `limit` characters: cut between elements, with `...` for what is left out."""
    text = " ".join(syntax.source(node).split())
    if len(text) <= limit:
        return text
    parts = node.named_children
    if node.type == "assignment" and parts[-1] != parts[0]:
        value = parts[-1]
        before = _plain(syntax.text[syntax.span(node).start : syntax.span(value).start])
        return before + _abridged(syntax, value, limit - len(before))
    if node.type in ("pair", "keyword_argument"):
        before = syntax.text[syntax.span(parts[0]).start : syntax.span(parts[-1]).start]
        return before + _abridged(syntax, parts[-1], limit - len(before))
    if node.type == "call":
        before = syntax.source(parts[0])
        return before + _abridged(syntax, parts[-1], limit - len(before))
    if node.type in _COLLECTIONS:
        return _elements(syntax, node, limit)
    return "..."


def _elements(syntax: Syntax, node: Node, limit: int) -> str:
    parts = [child for child in node.named_children if child.type != "comment"]
    share = max(limit // max(1, len(parts)), 30)
    shown, room = [], _LONG_TABLE if node.type == "dictionary" else limit
    for part in parts:
        text = _abridged(syntax, part, share)
        if len(text) > room and len(parts) > _FEW:
            break
        shown.append(text)
        room -= len(text) + 2
    left = ["..."] if len(shown) < len(parts) else []
    opening, closing = syntax.source(node)[0], syntax.source(node)[-1]
    return f"{opening}{', '.join([*shown, *left])}{closing}"


def _on_one_line(text: str) -> str:
    """An import without the parentheses that spread it over lines; one with comments stays."""
    if "\n" not in text or "#" in text:
        return text
    return " ".join(text.replace("\\", " ").replace("(", " ").replace(")", " ").split()).rstrip(",")


def _plain(text: str) -> str:
    return re.sub(r"\r\n?", "\n", text)


def _is_special(name: str) -> bool:
    """`__all__` and its like: long, and nothing to call."""
    return name.startswith("__") and name.endswith("__")
