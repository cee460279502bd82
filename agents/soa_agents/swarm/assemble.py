"""Pieces to patch: functions spliced into their files, new definitions put where a person would put them.

Pure. The result depends on nothing but the texts and the order of the pieces. Outside the spans it replaces
and the places it inserts at, every byte stays; what it writes follows the file's line ends and indentation.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from soa_agents.patch import Edit, Group, Patch, make_edit, make_patch
from soa_agents.swarm.code import (
    Def,
    Definition,
    Written,
    cut,
    definition,
    indented,
    renamed,
    signature_difference,
    words,
)
from soa_agents.swarm.imports import (
    Statement,
    bindings,
    import_place,
    imported,
    line_end,
    missing,
    names,
    top_level,
)
from soa_agents.workspace.functions import Function, dedented, functions
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.outline import docstring_place


@dataclass(frozen=True, slots=True)
class Piece:
    """One agent's function, with what it brought along.

    `anchor` is the workspace function beside which new definitions are placed; for a piece that replaces a
    workspace function it is that function. `new` functions do not stand in their file yet. A stub among the
    helpers is written as it is unless another piece is that function.
    """

    function: FunctionId
    anchor: FunctionId
    new: bool
    written: Written


def assemble(texts: Mapping[str, str], pieces: Sequence[Piece]) -> Patch:
    """One patch that puts every piece into its file; of two pieces for one workspace function the first.

    `texts` holds every file the pieces name. Raises `KeyError` when a workspace function is not in its file.
    """
    taken = {name for path in {piece.function.path for piece in pieces} for name in bindings(texts[path])}
    settled = merge_names(pieces, frozenset(taken))
    edits: list[Edit] = []
    for path in sorted({piece.function.path for piece in settled}):
        file = _file(path, texts[path])
        here = [piece for piece in settled if piece.function.path == path]
        replaced = {piece.function: piece for piece in reversed(here) if not piece.new}
        edits += file.imports([each for piece in here for each in piece.written.imports])
        edits += _insertions(file, here)
        edits += [file.edit(piece) for piece in replaced.values()]
    return make_patch(edits)


def merge_names(pieces: Sequence[Piece], taken: frozenset[str] = frozenset()) -> tuple[Piece, ...]:
    """The pieces with one meaning for each new name; `taken` are names that may not be given.

    Mothers come before their Children. What two agents bring alike stays one; where they differ the later's
    becomes `_x_2`, and with it its uses in what that agent and those below it wrote.
    """
    settled = list(pieces)
    while (clash := _clash(settled)) is not None:
        settled = _with_new_name(settled, *clash, taken)
    return tuple(settled)


def stubs_patch(
    text: str, path: str, place: str, definitions: Sequence[Definition], imports: Sequence[str]
) -> Patch:
    """Stubs put where the docstring of `place` (`<module>`, a class or a function) says they belong.

    At the module's end, behind the last member of the class, behind the function. Raises `KeyError` when
    there is no such docstring.
    """
    found = docstring_place(path, text, place)
    if found is None:
        raise KeyError(place)
    file = _file(path, text)
    blank = 1 if found.indent else file.gap
    sources = [file.laid_out(each.source, found.indent) for each in definitions]
    names_put = ", ".join(each.qualname for each in definitions)
    new = file.behind(found.insert, sources, blank)
    return make_patch([*file.imports(imports), file.made(found.insert, new, "stub", names_put)])


def tests_patch(path: str, text: str | None, source: str) -> Patch:
    """Tests as a new file, or at the end of one that is there; names it has already take `_2`, `_3`."""
    if text is None:
        return make_patch([make_edit("", Edit(path, 0, 0, source.strip("\n") + "\n", "tests"))], [path])
    file = _file(path, text)
    taken = Counter(bindings(text))
    sources, imports = [], list[str]()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(ast.unparse(node))
            continue
        written = cut(source, node)
        for name in names(node) if isinstance(node, Def | ast.ClassDef) else ():
            written = renamed(written, name, _free(name, taken), attribute=False)
        sources.append(file.laid_out(written, ""))
    end = len(text)
    added = [replace(each, group="tests") for each in file.imports(imports)]
    return make_patch([*added, file.made(end, file.behind(end, sources, file.gap), "tests")])


@dataclass(frozen=True, slots=True)
class _File:
    """One file's text with what new code in it has to follow."""

    path: str
    text: str
    functions: Mapping[str, Function]
    statements: tuple[Statement, ...]
    newline: str
    unit: str  # one level of indentation
    gap: int  # blank lines between top-level definitions

    def made(self, offset: int, new: str, group: Group, function: str = "") -> Edit:
        """An insertion."""
        return make_edit(self.text, Edit(self.path, offset, offset, new, group, function))

    def laid_out(self, source: str, prefix: str) -> str:
        """Dedented code at an indentation, with the file's own."""
        return self.breaks(indented(source, prefix, self.unit))

    def breaks(self, source: str) -> str:
        return source.replace("\n", self.newline)

    def edit(self, piece: Piece) -> Edit:
        """The replacement of a workspace function; header and docstring keep their characters if they may."""
        function = self.functions[piece.function.qualname]
        prefix = function.indent.rpartition("\f")[2]
        new = self.breaks(
            indented(piece.written.source, prefix, _unit_of(self, function)).removeprefix(prefix)
        )
        new = _with_old_header(self, function, piece.written.source, new)
        start, end = function.span
        return make_edit(self.text, Edit(self.path, start, end, new, "target", piece.function.qualname))

    def held(self, anchor: FunctionId) -> int:
        """The number of the top-level statement that holds a function, or the first of its overloads."""
        at = self.functions[anchor.qualname]
        start = min([at.span.start, *(each.start for each in at.overloads)])
        return next(n for n, each in enumerate(self.statements) if start < each.span.end)

    def beside(self, anchor: FunctionId, source: str, name: str, tight: bool = False) -> Edit:
        """A new module-level definition: above the top-level statement that holds the anchor.

        Below it, or below a later one, when the definition looks up a name at once that only they bind.
        No blank line follows it when it is `tight`.
        """
        held = self.held(anchor)
        node = ast.parse(source).body[0]
        later = self._needed_below(node, held)
        if later is None:
            behind = self.newline * (1 if tight else self.gap + 1)
            return self.made(self._above(held), self.breaks(source) + behind, "helper", name)
        place = line_end(self.text, self.statements[later].span.end)
        return self.made(place, self.newline * (self.gap + 1) + self.breaks(source), "helper", name)

    def method(self, anchor: FunctionId, qualname: str, source: str) -> Edit:
        """A new method: behind the anchor, or what else defines its name; else behind its class's last."""
        owner = qualname.rpartition(".")[0]
        members = [each for each in self.functions.values() if each.owner == owner]
        near = [
            each for each in members if f"{anchor.qualname}.".startswith(f"{each.id.qualname}.")
        ] or members[-1:]
        if not near:
            raise KeyError(qualname)
        index = members.index(near[-1])
        while members[index + 1 :] and members[index + 1].id.name == members[index].id.name:
            index += 1
        indent = members[index].indent.rpartition("\f")[2]
        place = line_end(self.text, members[index].span.end)
        return self.made(place, self.newline * 2 + self.laid_out(source, indent), "helper", qualname)

    def _needed_below(self, node: ast.stmt, held: int) -> int | None:
        """The last statement from `held` on that binds a name which `node` looks up at once."""
        future = (
            "annotations" in imported(self.text)
            and "__future__:annotations" in imported(self.text)["annotations"]
        )
        wanted = {*_eager_names(node, future)}
        bound = [{*bindings(self.text[each.span.start : each.span.end])} for each in self.statements]
        wanted -= set[str]().union(*bound[:held])
        return max((n for n in range(held, len(bound)) if bound[n] & wanted), default=None)

    def _above(self, held: int) -> int:
        """The start of the line of a statement, or of the comments right above it."""
        lines = list(re.finditer(r"[^\r\n]*(?:\r\n|\r|\n|$)", self.text))
        start = self.statements[held].span.start
        row = max(n for n, line in enumerate(lines) if line.start() <= start and (line[0] or n == 0))
        while row > 0 and lines[row - 1][0].startswith("#"):
            if row <= 2 and re.match(r"#!|#.*coding[:=]", lines[row - 1][0]):
                break
            row -= 1
        return max(lines[row].start(), len("\ufeff") if self.text.startswith("\ufeff") else 0)

    def imports(self, wanted: Iterable[str]) -> list[Edit]:
        """The edit that adds the imports the module lacks, if there are any."""
        lines = missing(self.text, wanted)
        if not lines:
            return []
        place, beside = import_place(self.text)
        block = self.newline.join(self.breaks(line) for line in lines)
        start = len("\ufeff") if self.text.startswith("\ufeff") else 0
        blank = self.newline * (1 if beside else 2)
        rest = self.text[place:]
        if place == start:
            following = self.newline * (1 + self.gap) if rest.strip() else self.newline
            return [self.made(place, block + following, "import")]
        behind = (
            ""
            if beside or not rest.strip() or re.match(r"\s*?(\r\n|\r|\n)[ \t\f]*(\r\n|\r|\n)", rest)
            else self.newline
        )
        return [self.made(place, blank + block + behind, "import")]

    def behind(self, offset: int, sources: Sequence[str], blank: int) -> str:
        """Definitions for a place at a line's end, or at the file's, which then ends with a line break."""
        between = self.newline * (blank + 1)
        joined = between.join(sources)
        if offset < len(self.text):
            return between + joined
        before = self.text[:offset]
        ended = len(before) - len(before.rstrip("\r\n"))
        breaks = before[len(before) - ended :].count("\n") or before[len(before) - ended :].count("\r")
        lead = self.newline * max(0, blank + 1 - breaks) if before.strip("\ufeff \t\r\n\f") else ""
        return lead + joined + self.newline


def _file(path: str, text: str) -> _File:
    found = functions(path, text)
    newline = re.search(r"\r\n|\r|\n", text)
    unit = next((unit for each in found if (unit := _own_unit(text, each))), "    ")
    statements = top_level(text)
    return _File(
        path,
        text,
        {each.id.qualname: each for each in found},
        statements,
        newline[0] if newline else "\n",
        unit,
        _usual_gap(text, statements),
    )


def _own_unit(text: str, function: Function) -> str:
    """How much further right than the function its body stands; "" where it does not show."""
    first = function.docstring or function.body
    start = max(text.rfind("\n", 0, first.start), text.rfind("\r", 0, first.start)) + 1
    indent = text[start : first.start]
    own = function.indent.rpartition("\f")[2]
    plain = start > function.signature.start and not indent.strip(" \t")
    return indent.removeprefix(own) if plain and indent.startswith(own) else ""


def _unit_of(file: _File, function: Function) -> str:
    return _own_unit(file.text, function) or file.unit


def _usual_gap(text: str, statements: Sequence[Statement]) -> int:
    """Blank lines between top-level definitions, as the file mostly has it; two where it does not show."""
    gaps = Counter[int]()
    for one, two in pairwise(statements):
        if all(each.kind.endswith("definition") for each in (one, two)):
            between = text[one.span.end : two.span.start].replace("\r\n", "\n").replace("\r", "\n")
            blank = between.count("\n") - 1
            if "#" not in between and blank > 0:  # overloads stand closer than definitions do
                gaps[blank] += 1
    usual = gaps.most_common(1)
    return min(usual[0][0], 3) if usual else 2


def _with_old_header(file: _File, function: Function, source: str, new: str) -> str:
    """`new` (`source`, laid out) with the file's own signature, and its docstring where it says the same."""
    ours = next((each for each in reversed(functions(file.path, source)) if not each.indent), None)
    wanted, old = definition(source), _standing(file.text, function)
    if ours is None or old is None or _headers_differ(old, wanted):
        return new
    end, from_ = function.signature.end, ours.signature.end
    if function.docstring and ours.docstring:
        between = file.text[end : function.docstring.start], source[from_ : ours.docstring.start]
        same = ast.get_docstring(old) == ast.get_docstring(wanted)
        if same and between[0].split() == between[1].split() and re.search(r"[\r\n]", between[0]):
            end, from_ = function.docstring.end, ours.docstring.end
    behind, _, rest = source[from_:].partition("\n")
    rows = rest.count("\n") + 1 if rest else 0
    tail = [behind, *new.replace(file.newline, "\n").split("\n")[-rows:]] if rows else [behind]
    return file.text[function.span.start : end] + file.newline.join(tail)


def _standing(text: str, function: Function) -> Def | None:
    try:
        return definition(dedented(text, function))
    except (SyntaxError, ValueError):  # a function under repair
        return None


def _headers_differ(old: Def, new: Def) -> bool:
    decorators = [[ast.dump(each) for each in node.decorator_list] for node in (old, new)]
    differ = signature_difference(old, new) or signature_difference(new, old)
    return bool(differ) or decorators[0] != decorators[1]


# --- where new definitions go


def _insertions(file: _File, pieces: Sequence[Piece]) -> list[Edit]:
    """What the pieces bring along: constants and classes, then functions, callees above their callers."""
    edits: list[Edit] = []
    stated = dict[str, FunctionId]()
    for piece in pieces:
        for source in piece.written.statements:
            stated.setdefault(source, piece.anchor)
    for source, following in pairwise([*stated, ""]):
        anchor = stated[source]
        together = following in stated and file.held(anchor) == file.held(stated[following])
        near = together and _is_constant(source) and _is_constant(following)
        edits.append(file.beside(anchor, source, ", ".join(bindings(source)), tight=near))
    for qualname, source, anchor in _new_functions(pieces):
        if "." in qualname:
            edits.append(file.method(anchor, qualname, source))
        else:
            edits.append(file.beside(anchor, source, qualname))
    return _spaced(file, edits)


def _is_constant(source: str) -> bool:
    """An assignment on one line; a person sets no blank line between two of them."""
    return "\n" not in source and any(
        isinstance(node, ast.Assign | ast.AnnAssign) for node in ast.parse(source).body
    )


def _new_functions(pieces: Sequence[Piece]) -> Iterator[tuple[str, str, FunctionId]]:
    """Every new function once, with its anchor: before the piece that brought it, its own helpers first."""
    by_name = {piece.function.qualname: piece for piece in reversed(pieces)}
    done = {piece.function.qualname for piece in pieces if not piece.new}

    def emit(piece: Piece) -> Iterator[tuple[str, str, FunctionId]]:
        for helper in piece.written.helpers:
            if helper.qualname in done:
                continue
            done.add(helper.qualname)
            own = by_name.get(helper.qualname)
            if own is not None:
                yield from emit(own)
            yield helper.qualname, own.written.source if own else helper.source, piece.anchor

    for piece in pieces:
        yield from emit(piece)
        if piece.function.qualname not in done:
            done.add(piece.function.qualname)
            yield piece.function.qualname, piece.written.source, piece.anchor


def _spaced(file: _File, edits: Sequence[Edit]) -> list[Edit]:
    """The first of several definitions above a statement gets the blank lines that are missing before it."""
    spaced, seen = list[Edit](), set[int]()
    for edit in edits:
        before = file.text[: edit.start]
        above = edit.start not in seen and (not before or before[-1] in "\r\n")
        seen.add(edit.start)
        breaks = re.search(r"(?:[ \t\f]*(?:\r\n|\r|\n))*$", before)
        blank = len(re.findall(r"\r\n|\r|\n", breaks[0])) - 1 if breaks else 0
        lacking = max(0, file.gap - blank) if above and before.strip("\ufeff \t\r\n\f") else 0
        spaced.append(replace(edit, new=file.newline * lacking + edit.new))
    return spaced


def _eager_names(node: ast.stmt, future: bool) -> Iterator[str]:
    """The names that a new statement looks up at once, when its module is imported."""
    if isinstance(node, Def):
        args = node.args
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
        now: list[ast.expr | None] = [*node.decorator_list, *args.defaults, *args.kw_defaults]
        now += [] if future else [node.returns, *(each.annotation for each in every if each)]
        yield from (each.id for part in now if part for each in ast.walk(part) if isinstance(each, ast.Name))
    elif isinstance(node, ast.ClassDef):
        heads = [*node.decorator_list, *node.bases, *(each.value for each in node.keywords)]
        yield from (each.id for part in heads for each in ast.walk(part) if isinstance(each, ast.Name))
        for each in node.body:
            yield from _eager_names(each, future)
    else:
        yield from (each.id for each in ast.walk(node) if isinstance(each, ast.Name))


# --- names that two agents chose


def _clash(pieces: Sequence[Piece]) -> tuple[int, str] | None:
    """The first piece that brings a name which an earlier one brought with another meaning."""
    covering = _covering(pieces)
    meanings: dict[tuple[str, str], object] = {}
    for index, piece in enumerate(pieces):
        brought: list[tuple[str, object]] = [
            (name, source)
            for source in piece.written.statements
            for name in bindings(source)
            if "." not in name
        ]
        for helper in piece.written.helpers:
            own = covering.get((index, helper.qualname))
            brought.append((helper.qualname, helper.source if own is None else pieces[own].written.source))
        for name, meaning in brought:
            if meanings.setdefault((piece.function.path, name), meaning) != meaning:
                return index, name
    return None


def _covering(pieces: Sequence[Piece]) -> dict[tuple[int, str], int]:
    """Which piece is the function that another one brought as a helper: the nearest one before it did."""
    found: dict[tuple[int, str], int] = {}
    for index, piece in enumerate(pieces):
        name = piece.function.qualname
        for before in reversed(range(index) if piece.new else range(0)):
            other = pieces[before]
            brings = any(each.qualname == name for each in other.written.helpers)
            if brings and other.function.path == piece.function.path and (before, name) not in found:
                found[before, name] = index
                break
    return found


def _with_new_name(pieces: Sequence[Piece], index: int, name: str, taken: frozenset[str]) -> list[Piece]:
    covering = _covering(pieces)
    below = {index}
    for (mother, _), child in sorted(covering.items(), key=lambda item: item[1]):
        below |= {child} if mother in below else set()
    used = frozenset[str]().union(
        *(words(source) for piece in pieces for source in _sources(piece.written)), taken
    )
    prefix, dot, old = name.rpartition(".")
    new = next(f"{old}_{n}" for n in range(2, len(used) + 3) if f"{old}_{n}" not in used)
    own = covering.get((index, name))
    changed = list(pieces)
    for each in below:
        function = pieces[each].function
        if each == own:
            function = replace(function, qualname=f"{prefix}{dot}{new}")
        written = _renamed_in(pieces[each].written, name, new)
        changed[each] = replace(pieces[each], function=function, written=written)
    return changed


def _sources(written: Written) -> tuple[str, ...]:
    return (written.source, *written.statements, *(each.source for each in written.helpers))


def _renamed_in(written: Written, name: str, new: str) -> Written:
    prefix, dot, old = name.rpartition(".")
    attribute = bool(dot)
    return replace(
        written,
        source=renamed(written.source, old, new, attribute),
        statements=tuple(renamed(each, old, new, attribute) for each in written.statements),
        helpers=tuple(
            replace(
                each,
                qualname=f"{prefix}{dot}{new}" if each.qualname == name else each.qualname,
                source=renamed(each.source, old, new, attribute),
            )
            for each in written.helpers
        ),
    )


def _free(name: str, taken: Counter[str]) -> str:
    """The name itself, or with the first number that makes it new; counted as taken from now on."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken[free] += 1
    return free
