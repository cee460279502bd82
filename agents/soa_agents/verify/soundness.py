"""Whether a candidate may be put into a process that has already collected, and what has to be put there.

Copied beside the tests; runs in the workspace's own interpreter: Python 3.9 or newer, standard library only.
A swap is taken only where it equals a new process that reads the candidate from its file:

- what runs while the file is imported is the same, node by node, but for bodies of functions and new names;
- no changed function ran while tests were collected, so nobody kept a result of the old one;
- its code is held by its live function objects alone, so there is no copy that a swap would miss;
- names that are added are new in their module, and nothing that ran has listed the module's names;
- what is evaluated to add them means the same at the end of the module as at its place.

Everything else is `Refused` with the reason. This module is pure; `swapping` does what it found.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Union

Def = Union[ast.FunctionDef, ast.AsyncFunctionDef]  # noqa: UP007 - evaluated, also by the oldest Python
_DEFS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Refused(Exception):
    """The candidate has to be run in another way; the text says why."""


class Span(NamedTuple):
    """The lines of one statement, first and last included; for a plain class its name and what is in it."""

    start: int
    end: int
    name: str = ""
    body: int = 0  # first line of a class's body
    column: int = 0  # where its statements begin
    inner: tuple[Any, ...] = ()
    decorated: bool = False
    head: int = 0  # last line of its docstring


class Outline(NamedTuple):
    """What is kept of a file's old text: where statements lie, at which lines top-level names are bound."""

    spans: tuple[Span, ...]
    bound: dict[str, list[int]]
    flags: int  # of `from __future__`, for `compile`
    head: int = 0  # last line of what must stay above everything else: the docstring, `from __future__`


class Region(NamedTuple):
    """The statements that may differ: inside the classes `path`, lines `start` to an end in either text."""

    path: tuple[str, ...]
    column: int
    start: int
    old_end: int
    new_end: int


class Kept(NamedTuple):
    """An old statement, in the class `path`, that stands `down` lines further below, letter for letter."""

    path: tuple[str, ...]
    start: int
    end: int
    down: int


class Added(NamedTuple):
    """A statement that only adds names, in the class `path` (none for the module)."""

    path: tuple[str, ...]
    statement: ast.stmt
    after: int  # the last line of the old text that is above it


class Changes(NamedTuple):
    """What differs in one file. Functions are told by the line where they begin, decorators included."""

    shifts: list[tuple[int, int, int]]  # old lines, first and last, that moved down by so many
    tree: ast.Module  # of what may differ, for compiling
    changed: list[tuple[Def, Def]]  # old, new: another body
    moved: list[tuple[ast.stmt, ast.stmt]]  # the same, perhaps at another line
    added: list[Added]


def first_line(node: ast.AST) -> int:
    """Where a definition begins, as code objects tell it."""
    decorators = getattr(node, "decorator_list", ())
    return int(min([node.lineno, *(d.lineno for d in decorators)]))  # type: ignore[attr-defined]  # a statement


def outline(text: str) -> Outline:
    """The outline of a file's text; raises `SyntaxError`."""
    tree = ast.parse(text)
    bound: dict[str, list[int]] = {}
    for name, line in _bindings(tree.body):
        bound.setdefault(name, []).append(line)
    future = [s.end_lineno or 0 for s in tree.body if getattr(s, "module", "") == "__future__"]
    head = max([_docstring_end(tree.body), *future])
    return Outline(tuple(_span(s) for s in tree.body), bound, _future(tree), head)


def _docstring_end(body: Sequence[ast.stmt]) -> int:
    first = body[0] if body else None
    text = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and type(first.value.value) is str
    )
    return (first.end_lineno or 0) if first is not None and text else 0


def _span(statement: ast.stmt) -> Span:
    start, end = first_line(statement), statement.end_lineno or statement.lineno
    if not isinstance(statement, ast.ClassDef) or getattr(statement, "type_params", None):
        return Span(start, end)
    body = first_line(statement.body[0])
    if body <= statement.lineno:
        return Span(start, end)
    column = statement.body[0].col_offset
    inner = tuple(_span(s) for s in statement.body)
    head = _docstring_end(statement.body)
    return Span(start, end, statement.name, body, column, inner, bool(statement.decorator_list), head)


def _bindings(body: Sequence[ast.stmt]) -> Iterator[tuple[str, int]]:
    """Every name that statements of a module bind, and where."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        line = getattr(node, "lineno", 0)
        if isinstance(node, (*_DEFS, ast.ClassDef)):
            yield node.name, line
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0], line
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id, line
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name, line
        todo.extend(ast.iter_child_nodes(node))


def _future(tree: ast.Module) -> int:
    import __future__

    names = [
        a.name
        for s in tree.body
        if isinstance(s, ast.ImportFrom) and s.module == "__future__"
        for a in s.names
    ]
    return sum(getattr(__future__, name).compiler_flag for name in names)


def changes(old: str, new: str, known: Outline) -> Changes:
    """How `new` differs from `old`, whose outline is `known`. Raises `Refused`."""
    before, after = old.split("\n"), new.split("\n")
    for deep in (True, False):
        region, spans = _region(known.spans, before, after, deep)
        for kept in (_kept(spans, region, before, after), []):
            try:
                return _compare(region, kept, before, after, known)
            except (
                SyntaxError,
                _Misshapen,
            ):  # it is more than it looks like: it opens, or ends, what follows
                continue
    try:
        whole = Region((), 0, 1, len(before), len(after))
        return _compare(whole, [], before, after, known)
    except SyntaxError as problem:
        raise Refused(f"it does not parse: {problem.msg}") from None


class _Misshapen(Exception):
    """The new lines leave the class they seemed to lie in, or swallow what seemed to be kept."""


def _kept(spans: tuple[Span, ...], region: Region, before: list[str], after: list[str]) -> list[Kept]:
    """Statements of the region that are there, in the same order and letter for letter, in the new text."""
    places: dict[str, list[int]] = {}
    for number in range(region.start, region.new_end + 1):
        places.setdefault(after[number - 1], []).append(number)
    found: list[Kept] = []
    _keep(spans, region.path, (before, after, places), found)
    return found


def _keep(spans: tuple[Span, ...], path: tuple[str, ...], texts: Any, found: list[Kept]) -> None:
    before, after, places = texts
    for number, span in enumerate(spans):
        text = before[span.start - 1 : span.end]
        least = found[-1].end + found[-1].down if found else 0
        alone = number == 0 or spans[number - 1].end < span.start
        alone = alone and (number + 1 == len(spans) or span.end < spans[number + 1].start)
        for line in places.get(text[0], ()) if alone else ():
            if line > least and after[line - 1 : line - 1 + len(text)] == text:
                found.append(Kept(path, span.start, span.end, line - span.start))
                break
        else:
            _keep(span.inner, (*path, span.name), texts, found)


def _blanked(lines: list[str], kept: list[Kept], new: bool) -> list[str]:
    lines = lines.copy()
    for each in kept:
        start, end = (each.start + each.down, each.end + each.down) if new else (each.start, each.end)
        lines[start - 1 : end] = [""] * (end - start + 1)
    return lines


def _stands_free(kept: Kept, path: tuple[str, ...], body: list[ast.stmt], after: list[str]) -> bool:
    """Whether what is kept is a statement of its own among the new ones, in the class where it was."""
    start, end = kept.start + kept.down, kept.end + kept.down
    if after[start - 2 : start - 1] and after[start - 2].endswith("\\"):
        return False
    above = [statement for statement in body if first_line(statement) <= end]
    if not path:
        return not above or (above[-1].end_lineno or 0) < start
    home = above[-1] if above else None
    if not isinstance(home, ast.ClassDef) or home.name != path[0] or first_line(home.body[0]) == home.lineno:
        return False
    return home.lineno < start and _stands_free(kept, path[1:], home.body, after)


def _region(
    spans: tuple[Span, ...], before: list[str], after: list[str], deep: bool
) -> tuple[Region, tuple[Span, ...]]:
    """The smallest region of whole statements, and the old statements in it."""
    same = _common(before, after)
    tail = _common(before[same:][::-1], after[same:][::-1])
    first, last = same + 1, len(before) - tail  # old lines that changed; none when last < first
    shift = len(after) - len(before)
    path: tuple[str, ...] = ()
    column = 0
    while True:
        low, high = max(1, first - 1), last  # new lines may belong to the statement before them
        while True:
            touched = [s for s in spans if s.start <= high and s.end >= low]
            grown = min([low, *(s.start for s in touched)]), max([high, *(s.end for s in touched)])
            if grown == (low, high):
                break
            low, high = grown
        inside = touched[0] if len(touched) == 1 else None
        within = inside is not None and inside.inner and first >= inside.body and last <= inside.end
        if inside is None or not (deep and within):
            return Region(path, column, low, high, high + shift), tuple(touched)
        path, column, spans = (*path, inside.name), inside.column, inside.inner


def _common(one: list[str], other: list[str]) -> int:
    count = 0
    for a, b in zip(one, other):  # noqa: B905 - the shorter one ends it; `strict` is not in the oldest Python
        if a != b:
            break
        count += 1
    return count


def _compare(
    region: Region, kept: list[Kept], before: list[str], after: list[str], known: Outline
) -> Changes:
    _, old = _parsed(region, _blanked(before, kept, new=False)[region.start - 1 : region.old_end])
    tree, new = _parsed(region, _blanked(after, kept, new=True)[region.start - 1 : region.new_end])
    depth = len(region.path)
    if not all(_stands_free(each, each.path[depth:], new, after) for each in kept):
        raise _Misshapen
    below = (region.old_end + 1, len(before), region.new_end - region.old_end)
    found = Changes([*((k.start, k.end, k.down) for k in kept), below], tree, [], [], [])
    _match(old, new, region.path, (region.start - 1, kept), found)
    for each in found.added:
        if each.after < _head_of(known, each.path):
            raise Refused("something was added above a docstring or an import from __future__")
    return found


def _head_of(known: Outline, path: tuple[str, ...]) -> int:
    head, spans = known.head, known.spans
    for name in path:
        inside = [span for span in spans if span.name == name]
        head = max((span.head for span in inside), default=0)
        spans = inside[0].inner if inside else ()
    return head


def _parsed(region: Region, lines: list[str]) -> tuple[ast.Module, list[ast.stmt]]:
    """The region as it would be in its file: at its lines, in classes of the same names."""
    classes = [f"{' ' * depth}class {name}:" for depth, name in enumerate(region.path)]
    ahead = [""] * (region.start - 1 - len(classes))
    tree = ast.parse("\n".join([*ahead, *classes, *lines, ""]))
    body = tree.body
    for _ in region.path:
        if len(body) != 1 or not isinstance(body[0], ast.ClassDef):
            raise _Misshapen
        body = body[0].body
    if any(statement.col_offset != region.column for statement in body):
        raise _Misshapen
    return tree, body


_Above = tuple[int, list[Kept]]  # the old line above everything; the statements that were left out


def _match(
    old: list[ast.stmt], new: list[ast.stmt], path: tuple[str, ...], above: _Above, found: Changes
) -> None:
    """Walk both lists of statements; what is only in the new one must be something that can be added."""
    left = list(old)
    after, kept = above
    for statement in new:
        passed = [each for each in kept if each.end + each.down < statement.lineno]
        after = max([after, *(each.end for each in passed)])
        if left and _alike(left[0], statement):
            if passed != [each for each in kept if each.end < left[0].lineno]:
                raise _Misshapen  # its place among them is another
            after = max(after, left[0].end_lineno or left[0].lineno)
            _match_one(left.pop(0), statement, path, kept, found)
        elif left and (extra := _wider_import(left[0], statement)):
            after = max(after, left.pop(0).lineno)
            found.added.append(Added(path, extra, after))
        else:
            found.added.append(Added(path, _addable(statement, path), after))
    if left:
        raise Refused("code that runs while importing was taken away or changed")


def _alike(old: ast.stmt, new: ast.stmt) -> bool:
    if isinstance(old, (*_DEFS, ast.ClassDef)):
        return type(old) is type(new) and old.name == new.name
    return ast.dump(old) == ast.dump(new)


def _match_one(old: ast.stmt, new: ast.stmt, path: tuple[str, ...], kept: list[Kept], found: Changes) -> None:
    if not isinstance(old, (*_DEFS, ast.ClassDef)):
        found.moved.append((old, new))
        return
    assert isinstance(new, (*_DEFS, ast.ClassDef))  # noqa: S101 - `_alike`
    if _head(old) != _head(new):
        raise Refused(f"the signature, decorators or docstring of {old.name} changed")
    if isinstance(old, ast.ClassDef):
        begin = first_line(old)
        found.shifts.append((begin, begin, first_line(new) - begin))
        _match(old.body, new.body, (*path, old.name), (old.lineno, kept), found)
    elif [ast.dump(s) for s in old.body] != [ast.dump(s) for s in new.body]:
        found.changed.append((old, new))  # type: ignore[arg-type]  # the same type as `old`
    else:
        found.moved.append((old, new))


def _head(node: Any) -> list[Any]:
    """Everything of a definition but its body; of a function with its docstring, which is an attribute."""
    parts: list[Any] = []
    for name, value in ast.iter_fields(node):
        if name != "body":
            each = value if isinstance(value, list) else [value]
            parts.append([ast.dump(v) if isinstance(v, ast.AST) else v for v in each])
    return [*parts, None if isinstance(node, ast.ClassDef) else ast.get_docstring(node, clean=False)]


def _wider_import(old: ast.stmt, new: ast.stmt) -> ast.ImportFrom | None:
    """What `new` imports beyond `old`, when both import from the same module."""
    if not isinstance(old, ast.ImportFrom) or not isinstance(new, ast.ImportFrom):
        return None
    if (old.module, old.level) != (new.module, new.level):
        return None
    before = {(a.name, a.asname) for a in old.names}
    extra = [a for a in new.names if (a.name, a.asname) not in before]
    if len(extra) + len(before) != len(new.names):
        return None
    wider = ast.ImportFrom(module=new.module, names=extra, level=new.level)
    return ast.copy_location(wider, new)


def _addable(statement: ast.stmt, path: tuple[str, ...]) -> ast.stmt:
    """The statement, when it only adds names; raises `Refused`."""
    if isinstance(statement, _DEFS):
        return statement
    if not path and isinstance(statement, (ast.Import, ast.ImportFrom)):
        if getattr(statement, "module", "") == "__future__" or any(a.name == "*" for a in statement.names):
            raise Refused("an import that changes more than one name was added")
        return statement
    if not path and isinstance(statement, ast.Assign) and _constant(statement):
        return statement
    raise Refused("code that runs while importing was added or changed")


def _constant(statement: ast.Assign) -> bool:
    plain = (ast.Constant, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.UnaryOp, ast.USub, ast.Load)
    one = len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name)
    return one and all(isinstance(node, plain) for node in ast.walk(statement.value))


def functions_in(statement: ast.stmt) -> Iterator[tuple[int, str]]:
    """Line and name, as code objects tell them, of every function and lambda of a statement, in one order."""
    for node in ast.walk(statement):
        if isinstance(node, _DEFS):
            yield first_line(node), node.name
        elif isinstance(node, ast.Lambda):
            yield node.lineno, "<lambda>"


def names_added(statement: ast.stmt) -> list[str]:
    """The names that an addable statement binds."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [a.asname or a.name.partition(".")[0] for a in statement.names]
    if isinstance(statement, ast.Assign):
        return [t.id for t in statement.targets if isinstance(t, ast.Name)]
    assert isinstance(statement, _DEFS)  # noqa: S101 - `_addable`
    return [statement.name]


def names_evaluated(node: Def, annotations: bool) -> list[str]:
    """The names that a definition looks up when it is executed: decorators, defaults, perhaps annotations."""
    parts: list[ast.AST | None] = [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults]
    if annotations:
        args = node.args
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
        parts += [a.annotation for a in every if a is not None] + [node.returns]
    return [n.id for part in parts if part is not None for n in ast.walk(part) if isinstance(n, ast.Name)]
