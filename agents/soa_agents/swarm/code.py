"""What agents write, as checked code: plain values between replies, state and assembly.

Below the values stand the few operations on the text of one function that both sides need. All of them
take source that parses, with `\\n` line ends, and leave what stands inside string literals alone.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Def = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Definition:
    """One function that an agent wrote beside its own.

    `qualname` is where it belongs: `_helper` for a module-level function, `Class._helper` for a method of
    the target's class. `source` is dedented, decorators and docstring included, `\\n` line ends, no final
    one. Among the stubs made from a docstring a definition may also be a whole class of stubs.
    """

    qualname: str
    source: str
    is_stub: bool


@dataclass(frozen=True, slots=True)
class Written:
    """A checked reply: the agent's own function and what it brought along.

    `source` is the whole target, dedented, with the decorators and signature of the workspace (or of the
    stub its Mother wrote) and with a docstring whenever there was one. `helpers` are new functions in the
    order given; stubs among them become agents. `statements` are new module-level classes, constants and
    type aliases the code needs. `imports` are single import statements.
    """

    source: str
    helpers: tuple[Definition, ...] = ()
    statements: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    abstained: str = ""  # the reason, for steps that allow `Abstain: reason`; then `source` is empty


@dataclass(frozen=True, slots=True)
class Stubs:
    """What the `stubs` step gave: definitions in the order given, and the imports their types need."""

    definitions: tuple[Definition, ...]
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """A function taken apart: `header + comment + lead + docstring + body` is its source again.

    `header` ends with the signature's colon. A function on one line comes with its body on a line below.
    """

    header: str
    comment: str  # behind the colon, with the blanks before it and the line's end
    lead: str  # comment lines before the docstring
    docstring: str  # whole lines, "" where there is none
    body: str
    indent: str  # white space before the body's statements


def definition(source: str) -> Def:
    """The function that `source` holds; overload declarations before it are passed over.

    Raises `ValueError` when it holds none, `SyntaxError` when it does not parse.
    """
    found = [node for node in ast.parse(source).body if isinstance(node, Def)]
    if not found:
        raise ValueError("the source holds no function definition")
    return found[-1]


def stub_of(source: str) -> str:
    """The signature and docstring of a function whose body does not parse, with `...` for the body.

    Raises `SyntaxError` when the signature does not parse either.
    """
    lines, end, docstring = source.split("\n"), (0, 0), ""
    try:
        tokens = _tokens(source)
        end = _colon(tokens)
        passed = (tokenize.COMMENT, tokenize.NEWLINE, tokenize.NL, tokenize.INDENT)
        first = next(token for token in tokens if token.type not in passed)
        docstring = f"    {first.string}\n" if first.type == tokenize.STRING else ""
    except (tokenize.TokenError, StopIteration, ValueError, SyntaxError):
        pass
    row, column = end
    header = "\n".join([*lines[: max(row - 1, 0)], lines[row - 1][:column]])
    stub = f"{header}\n{docstring}    ..."
    ast.parse(stub)
    return stub


def docstring_node(node: Def | ast.ClassDef | ast.Module) -> ast.Expr | None:
    """The statement that is the docstring."""
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return first if isinstance(first.value.value, str) else None
    return None


def is_stub(node: Def) -> bool:
    """Nothing but a docstring and `...`, `pass` or `raise NotImplementedError`."""
    rest = node.body[1:] if docstring_node(node) else node.body
    return all(_is_placeholder(statement) for statement in rest)


def same_code(one: Sequence[ast.stmt] | ast.stmt, two: Sequence[ast.stmt] | ast.stmt) -> bool:
    """Equal up to layout, comments and docstrings."""
    return _dump(one) == _dump(two)


def signature_difference(wanted: Def, given: Def) -> str:
    """How `given` differs from the signature it has to have, as a clause; "" when it does not.

    What `given` leaves out (annotations, defaults, type parameters) is no difference, nor are annotations
    where there were none: the wanted signature is what is kept.
    """
    if isinstance(wanted, ast.AsyncFunctionDef) != isinstance(given, ast.AsyncFunctionDef):
        return (
            "it must be `async def`" if isinstance(wanted, ast.AsyncFunctionDef) else "it must not be async"
        )
    had, has = _parameters(wanted), _parameters(given)
    if [each[:2] for each in had] != [each[:2] for each in has]:
        return f"its parameters must be ({ast.unparse(wanted.args)})"
    for (_, name, annotation, default), (_, _, new_annotation, new_default) in zip(had, has, strict=True):
        if annotation and new_annotation and _type(annotation) != _type(new_annotation):
            return f"parameter `{name}` must be annotated {ast.unparse(annotation)}"
        if new_default and not (default and ast.dump(default) == ast.dump(new_default)):
            return f"the default of `{name}` must stay" if default else f"`{name}` must have no default"
    if wanted.returns and given.returns and _type(wanted.returns) != _type(given.returns):
        return f"it must return {ast.unparse(wanted.returns)}"
    generic, new_generic = (
        [ast.dump(each) for each in getattr(node, "type_params", [])] for node in (wanted, given)
    )
    return "its type parameters must stay" if new_generic and new_generic != generic else ""


def parts(source: str) -> Parts:
    """Take the one function of `source` apart. Overloads before it belong to its header."""
    node = definition(source)
    lines = source.split("\n")
    row, column = _colon(token for token in _tokens(source) if token.start[0] >= node.lineno)
    header = "\n".join([*lines[: row - 1], lines[row - 1][:column]])
    doc, first = docstring_node(node), node.body[0]
    if first.lineno == row:
        text = _segment(lines, first, node.body[-1])
        comment = _comment_behind(lines, node.body[-1])
        indent = "    "
        if doc is None:
            return Parts(header, f"{comment}\n", "", "", indent + text, indent)
        rest = _segment(lines, node.body[1], node.body[-1]) if node.body[1:] else ""
        own = _segment(lines, doc, doc)
        return Parts(header, f"{comment}\n", "", f"{indent}{own}\n", indent + rest if rest else "", indent)
    comment = lines[row - 1][column:].rstrip() + "\n"
    indent = lines[first.lineno - 1][: _column(lines, first.lineno, first.col_offset)]
    if doc is None:
        return Parts(header, comment, "", "", _joined(lines[row:]), indent)
    lead = "".join(f"{line}\n" for line in lines[row : doc.lineno - 1])
    if node.body[1:] and node.body[1].lineno == doc.end_lineno:
        own, rest = _segment(lines, doc, doc), _segment(lines, node.body[1], node.body[-1])
        return Parts(header, comment, lead, f"{indent}{own}\n", indent + rest, indent)
    end = doc.end_lineno or doc.lineno
    docstring = "".join(f"{line}\n" for line in lines[doc.lineno - 1 : end])
    return Parts(header, comment, lead, docstring, _joined(lines[end:]), indent)


def cut(source: str, node: ast.stmt) -> str:
    """The text of a statement (a function with its decorators), dedented to column 0."""
    lines = source.split("\n")
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(each.lineno for each in decorators)])
    last = node.end_lineno or node.lineno
    lines[first - 1] = start = lines[first - 1].rpartition("\f")[2]
    margin = start[: len(start) - len(start.lstrip())]
    inside = _inside_strings(source)
    taken = [
        line if first + offset in inside else _without_margin(line, margin)
        for offset, line in enumerate(lines[first - 1 : last])
    ]
    return "\n".join(taken).rstrip()


def indent_unit(source: str) -> str:
    """The white space that the first indented line of `source` has more than the line it belongs to."""
    try:
        for token in _tokens(source):
            if token.type == tokenize.INDENT:
                return token.string
    except (tokenize.TokenError, SyntaxError):
        pass
    return "    "


def indented(source: str, prefix: str, unit: str) -> str:
    """Dedented `source` moved to the right by `prefix`, each level indented by `unit`.

    Docstrings move with their code; other strings that span lines keep every character.
    """
    inside, docstrings = _inside_strings(source), _docstring_lines(source)
    own = indent_unit(source)
    lines = [
        line if number in inside else _leveled(line, own, unit, docstrings.get(number))
        for number, line in enumerate(source.split("\n"), 1)
    ]
    if own == unit or not _parses_alike(source, "\n".join(lines)):
        lines = source.split("\n")
    return "\n".join(
        prefix + line if line.strip() and number not in inside else line
        for number, line in enumerate(lines, 1)
    )


def words(source: str) -> frozenset[str]:
    """Every identifier-like word of `source`, strings and comments included."""
    return frozenset(re.findall(r"\w+", source))


def renamed(source: str, old: str, new: str, attribute: bool) -> str:
    """`source` with the function `old` called `new`: `_x(…)`, or `self._x(…)` when it is an `attribute`.

    Doctests and f-strings follow, as far as a word in them can be told.
    """
    lines = source.split("\n")
    places: list[tuple[int, int, int]] = []
    before = ""
    for token in _tokens(source):
        if token.type == tokenize.NAME and token.string == old:
            if before == "def" or (before == ".") == attribute:
                places.append((*token.start, len(old)))
        elif token.type == tokenize.STRING and (">>>" in token.string or "f" in _prefix(token.string)):
            places += _words_in(token, old)
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            before = token.string
    for row, column, length in reversed(places):
        line = lines[row - 1]
        lines[row - 1] = line[:column] + new + line[column + length :]
    return "\n".join(lines)


def _parameters(node: Def) -> list[tuple[str, str, ast.expr | None, ast.expr | None]]:
    """Kind, name, annotation and default of each parameter."""
    args = node.args
    positional = [("/", each) for each in args.posonlyargs] + [("", each) for each in args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + args.defaults
    found = [
        (kind, each.arg, each.annotation, value)
        for (kind, each), value in zip(positional, defaults, strict=True)
    ]
    if args.vararg:
        found.append(("*", args.vararg.arg, args.vararg.annotation, None))
    found += [
        ("keyword", each.arg, each.annotation, value)
        for each, value in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    ]
    if args.kwarg:
        found.append(("**", args.kwarg.arg, args.kwarg.annotation, None))
    return found


def _type(annotation: ast.expr) -> str:
    """An annotation with its quotes taken off."""
    return ast.dump(_Unquoted().visit(ast.parse(ast.unparse(annotation), mode="eval").body))


class _Unquoted(ast.NodeTransformer):
    """`"Invoice"` becomes `Invoice`."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if not isinstance(node.value, str):
            return node
        try:
            return ast.parse(node.value, mode="eval").body
        except SyntaxError:
            return node


def _is_placeholder(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass):
        return True
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant) and statement.value.value is ...
    if isinstance(statement, ast.Raise):
        raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    return False


def _dump(code: Sequence[ast.stmt] | ast.stmt) -> str:
    copies = [code] if isinstance(code, ast.stmt) else list(code)
    return "\n".join(ast.dump(_Bare().visit(ast.parse(ast.unparse(each)))) for each in copies)


class _Bare(ast.NodeTransformer):
    """Leaves out docstrings."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, Def | ast.ClassDef) and docstring_node(node):
            node.body = node.body[1:]
        return node


def _parses_alike(one: str, two: str) -> bool:
    try:
        return _dump(ast.parse(one).body) == _dump(ast.parse(two).body)
    except SyntaxError:
        return False


def _tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(source, newline="\n").readline)


def _colon(tokens: Iterator[tokenize.TokenInfo]) -> tuple[int, int]:
    """Row (from 1) and column just behind the colon that ends the first signature."""
    depth, seen = 0, False
    for token in tokens:
        seen = seen or (token.string == "def" and depth == 0)
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
            if seen and depth == 0 and token.string == ":":
                return token.end
    raise ValueError("the signature has no colon")


def _column(lines: Sequence[str], row: int, offset: int) -> int:
    """`ast` counts UTF-8 bytes; this is the character."""
    return len(lines[row - 1].encode()[:offset].decode())


def _segment(lines: Sequence[str], first: ast.stmt, last: ast.stmt) -> str:
    start = _column(lines, first.lineno, first.col_offset)
    row = last.end_lineno or last.lineno
    end = _column(lines, row, last.end_col_offset or 0)
    if first.lineno == row:
        return lines[row - 1][start:end]
    return "\n".join([lines[first.lineno - 1][start:], *lines[first.lineno : row - 1], lines[row - 1][:end]])


def _comment_behind(lines: Sequence[str], last: ast.stmt) -> str:
    row = last.end_lineno or last.lineno
    rest = lines[row - 1][_column(lines, row, last.end_col_offset or 0) :]
    return rest.rstrip() if rest.strip().startswith("#") else ""


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines).rstrip()


def _inside_strings(source: str) -> frozenset[int]:
    """Rows that begin inside a string literal which is no docstring."""
    rows: set[int] = set()
    documented = {
        node.lineno
        for holder in ast.walk(ast.parse(source))
        if isinstance(holder, Def | ast.ClassDef) and (node := docstring_node(holder))
    }
    opened: list[int] = []
    for token in _tokens(source):
        kind = tokenize.tok_name[token.type]
        if kind == "STRING" and token.start[0] not in documented:
            rows.update(range(token.start[0] + 1, token.end[0] + 1))
        elif kind == "FSTRING_START":
            opened.append(token.start[0])
        elif kind == "FSTRING_END":
            rows.update(range(opened.pop() + 1, token.end[0] + 1))
    return frozenset(rows)


def _docstring_lines(source: str) -> dict[int, str]:
    """The rows inside docstrings, each with the white space before its docstring."""
    lines, rows = source.split("\n"), dict[int, str]()
    for holder in ast.walk(ast.parse(source)):
        if isinstance(holder, Def | ast.ClassDef) and (node := docstring_node(holder)):
            start = lines[node.lineno - 1]
            margin = start[: len(start) - len(start.lstrip())]
            rows |= dict.fromkeys(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1), margin)
    return rows


def _without_margin(line: str, margin: str) -> str:
    if line.startswith(margin):
        return line[len(margin) :]
    return line.lstrip()  # a comment or continuation line that stands further left


def _leveled(line: str, own: str, unit: str, docstring: str | None) -> str:
    """`line` with each leading `own` replaced by `unit`; in a docstring only up to where it begins."""
    levels, rest = 0, line
    while rest.startswith(own) and (docstring is None or (levels + 1) * len(own) <= len(docstring)):
        levels, rest = levels + 1, rest[len(own) :]
    return unit * levels + rest


def _prefix(literal: str) -> str:
    return re.split("['\"]", literal, maxsplit=1)[0].lower()


def _words_in(token: tokenize.TokenInfo, word: str) -> list[tuple[int, int, int]]:
    """Where `word` stands in the expressions of a doctest, or anywhere in an f-string."""
    formatted = "f" in _prefix(token.string)
    found = []
    for offset, line in enumerate(token.string.split("\n")):
        if not formatted and not line.lstrip("\"'rRuU \t").startswith((">>>", "...")):
            continue
        shift = token.start[1] if offset == 0 else 0
        found += [
            (token.start[0] + offset, shift + match.start(), len(word))
            for match in re.finditer(rf"\b{re.escape(word)}\b", line)
        ]
    return found
