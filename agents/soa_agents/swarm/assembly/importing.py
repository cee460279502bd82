"""Where new imports go: into the statement or the section where a person would put them. Pure."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

from soa_agents.patch import Edit
from soa_agents.swarm.assembly.layout import File
from soa_agents.swarm.imports import Statement, imported, meanings, single_imports
from soa_agents.workspace.syntax import IMPORTS, line_end, start_of

Import = ast.Import | ast.ImportFrom

_DEFINITIONS = frozenset({"function_definition", "class_definition", "decorated_definition"})
_LONGEST = 88  # characters of a line that names are added to
_STANDARD, _OTHER, _RELATIVE = range(3)  # sections, in the order they stand in


def import_edits(file: File, wanted: Iterable[str]) -> list[Edit]:
    """The insertions that give the module the imports of `wanted` which it lacks.

    Names join the statement that imports from their source; a new statement joins its section (standard
    library, others, relative), in the section's order where it has one.
    """
    header = _header(file)
    edits: list[Edit] = []
    alone: list[Import] = []
    for node in _missing(file.text, wanted):
        home = _same_source(file, header, node) if isinstance(node, ast.ImportFrom) else None
        edits += _named_in(file, home, node.names) if home else []
        alone += [] if home else [node]
    if not header:
        return edits + ([_first(file, alone)] if alone else [])
    places: defaultdict[_Place, list[Import]] = defaultdict(list)
    for node in sorted(alone, key=_order):
        places[_place(file, header, node)].append(node)
    new = [file.made(place.offset, place.text(file, nodes), "import") for place, nodes in places.items()]
    return edits + new


def _missing(text: str, wanted: Iterable[str]) -> list[Import]:
    """The imports of `wanted` that the module does not have, once each and joined by source."""
    have = {(name, meaning) for name, found in imported(text).items() for meaning in found}
    plain: list[Import] = []
    sources: dict[tuple[str | None, int], list[ast.alias]] = {}
    for source in wanted:
        for node in ast.parse(source).body:
            for alone in single_imports(node) if isinstance(node, Import) else ():
                single = ast.parse(alone).body[0]
                pair = next(iter(meanings(single).items()))
                if pair in have:
                    continue
                have.add(pair)
                if isinstance(single, ast.ImportFrom):
                    sources.setdefault((single.module, single.level), []).extend(single.names)
                elif isinstance(single, ast.Import):
                    plain.append(single)
    joined = [
        ast.ImportFrom(module, sorted(aliases, key=lambda alias: alias.name), level)
        for (module, level), aliases in sources.items()
    ]
    return [*plain, *joined]


def _header(file: File) -> list[Statement]:
    """The imports that stand before the first definition, those from the future left out."""
    opening = takewhile(lambda each: each.kind not in _DEFINITIONS, file.statements)
    imports = IMPORTS - {"future_import_statement"}
    return [each for each in opening if each.kind in imports and isinstance(each.node, Import)]


def _same_source(file: File, header: Sequence[Statement], new: ast.ImportFrom) -> Statement | None:
    """The statement that `new`'s names can join."""
    for each in header:
        node = each.node
        if not isinstance(node, ast.ImportFrom) or (node.module, node.level) != (new.module, new.level):
            continue
        source = file.text[each.span.start : each.span.end]
        added = sum(len(ast.unparse(alias)) + 2 for alias in new.names)
        one_line = not re.search(r"[\r\n]", source)
        fits = source.isascii() and (not one_line or len(source) + added <= _LONGEST)
        if fits and not re.search(r"[#\\*]|[\r\n][ \t]*\)[ \t]*;", source):
            return each
    return None


def _named_in(file: File, home: Statement, names: Sequence[ast.alias]) -> list[Edit]:
    """Each name before the first that sorts behind it, or behind the last; on its own line where they are."""
    node = _node(home)
    source = file.text[home.span.start : home.span.end]
    ends = [0, *(m.end() for m in re.finditer(r"\r\n|\r|\n", source))]
    at: defaultdict[int, list[str]] = defaultdict(list)
    for alias in names:
        after = next((old for old in node.names if old.name > alias.name), None)
        old = after or node.names[-1]
        row, column = (old.lineno, old.col_offset) if after else (old.end_lineno, old.end_col_offset)
        line = source[ends[old.lineno - 1] :][: old.col_offset]
        between = f",{file.newline}{line}" if not line.strip() and old.lineno > 1 else ", "
        name = ast.unparse(alias)
        at[home.span.start + ends[(row or 1) - 1] + (column or 0)].append(
            f"{name}{between}" if after else f"{between}{name}"
        )
    return [file.made(place, "".join(new), "import") for place, new in at.items()]


@dataclass(frozen=True, slots=True)
class _Place:
    """Above or behind a line of imports."""

    offset: int
    above: bool
    apart: bool  # a blank line parts it from the other section

    def text(self, file: File, nodes: Sequence[Import]) -> str:
        block = _block(file, nodes)
        breaks = file.newline * (2 if self.apart else 1)
        return block + breaks if self.above else breaks + block


def _block(file: File, nodes: Sequence[Import]) -> str:
    sections = [
        file.newline.join(map(ast.unparse, each)) for _, each in groupby(sorted(nodes, key=_order), _section)
    ]
    return (file.newline * 2).join(sections)


def _place(file: File, header: Sequence[Statement], new: Import) -> _Place:
    section = _section(new)
    if section != _STANDARD:
        header = _last_run(file, header)
    own = [each for each in header if _section(_node(each)) == section]
    later = [each for each in header if _section(_node(each)) > section]
    if not own and later:
        return _Place(_line_above(file, later[0]), above=True, apart=True)
    if not own:
        return _Place(line_end(file.text, header[-1].span.end), above=False, apart=True)
    before = [each for each in own if _before(own, _node(each), new)]
    if not before:
        return _Place(_line_above(file, own[0]), above=True, apart=False)
    return _Place(line_end(file.text, before[-1].span.end), above=False, apart=False)


def _last_run(file: File, header: Sequence[Statement]) -> Sequence[Statement]:
    """The last imports with nothing between: what stands above them may be what lets a module be found."""
    last = file.statements.index(header[-1])
    run = last
    while run > 0 and file.statements[run - 1] in header:
        run -= 1
    return file.statements[run : last + 1]


def _before(section: Sequence[Statement], old: Import, new: Import) -> bool:
    """Whether `new` goes behind `old` by the order its section has: by kind and name, by name, or none."""
    for order in (_order, _name):
        keys = [order(_node(each)) for each in section]
        if keys == sorted(keys):
            return order(old) <= order(new)
    return True


def _node(statement: Statement) -> Import:
    assert isinstance(statement.node, Import)  # noqa: S101 - `_header` holds nothing else
    return statement.node


def _section(node: Import) -> int:
    if isinstance(node, ast.ImportFrom) and node.level:
        return _RELATIVE
    return _STANDARD if _name(node)[0].partition(".")[0] in sys.stdlib_module_names else _OTHER


def _name(node: Import) -> tuple[str, ...]:
    return ((node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name,)


def _order(node: Import) -> tuple[str, ...]:
    return (str(_section(node)), str(isinstance(node, ast.ImportFrom)), *_name(node))


def _line_above(file: File, statement: Statement) -> int:
    """The start of a statement's line, or of the comments right above it unless they open the file."""
    first = start_of(file.text)
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)", file.text[first : statement.span.start])
    above = list(takewhile(lambda line: line.lstrip().startswith("#"), reversed(lines)))
    taken = lines if len(above) == len(lines) else lines[: len(lines) - len(above)]
    return first + len("".join(taken))


def _first(file: File, nodes: Sequence[Import]) -> Edit:
    """A module's first imports: behind its future imports, its docstring, or the comments that open it."""
    block = _block(file, nodes)
    start = start_of(file.text)
    place = _opening_end(file)
    rest = file.text[place:]
    if place == start:
        following = file.newline * (1 + file.gap) if rest.strip() else file.newline
        return file.made(place, block + following, "import")
    parted = not rest.strip() or re.match(r"\s*?(\r\n|\r|\n)[ \t\f]*(\r\n|\r|\n)", rest)
    return file.made(place, file.newline * 2 + block + ("" if parted else file.newline), "import")


def _opening_end(file: File) -> int:
    end: int | None = None
    for number, statement in enumerate(file.statements):
        if statement.kind in _DEFINITIONS:
            break
        if statement.kind == "future_import_statement" or (number == 0 and _is_docstring(statement.node)):
            end = statement.span.end
    return _after_comments(file.text, file.statements) if end is None else line_end(file.text, end)


def _is_docstring(node: ast.stmt | None) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _after_comments(text: str, found: Sequence[Statement]) -> int:
    """Behind the comments that open the file: all when a blank line follows them, else shebang and coding."""
    start = start_of(text)
    limit = found[0].span.start if found else len(text)
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)", text[start:limit])
    block = [line for line in lines if line.strip()]
    opening = 0
    while opening < len(lines) and lines[opening].startswith("#"):
        opening += 1
    if opening == len(block) and opening == len(lines) and found:
        opening = sum(bool(re.match(r"#!|#.*coding[:=]", line)) for line in lines[:2])
    taken = "".join(lines[:opening])
    return start + len(taken.rstrip("\r\n"))
