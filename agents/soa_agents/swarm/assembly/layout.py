"""One file, and how new code stands in it: where a person would put it, with the file's own habits. Pure."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from soa_agents.patch import Edit, Group, make_edit
from soa_agents.swarm.assembly.pieces import Piece
from soa_agents.swarm.code import Def, definition, signature_difference
from soa_agents.swarm.imports import Statement, bindings, imported, top_level
from soa_agents.swarm.source import indented, parts
from soa_agents.workspace.functions import Function, dedented, functions, indent_at
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.syntax import line_end, start_of

_FOR_TOOLS = re.compile(r"#\s*(noqa|type:|pragma:|pylint:|pyright:|mypy:|ruff:|fmt:|nosec)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
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
        """Code with the file's line ends."""
        return source.replace("\n", self.newline)

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
        place = self._behind(self.statements[later].span.end)
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
        place = self._behind(members[index].span.end)
        return self.made(place, self.newline * 2 + self.laid_out(source, indent), "helper", qualname)

    def _behind(self, end: int) -> int:
        """Where something goes behind what ends at `end`: at its line's end, or behind a stub's comments."""
        closing = [each for each in self.functions.values() if each.span.end == end]
        return max([line_end(self.text, end), *(_whole_end(self.text, each) for each in closing)])

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
        return max(lines[row].start(), start_of(self.text))

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


@lru_cache(maxsize=8)
def file_of(path: str, text: str) -> File:
    """The file of that text, its habits looked at."""
    found = functions(path, text)
    newline = re.search(r"\r\n|\r|\n", text)
    unit = next((unit for each in found if (unit := _own_unit(text, each))), "    ")
    statements = top_level(text)
    return File(
        path,
        text,
        {each.id.qualname: each for each in found},
        statements,
        newline[0] if newline else "\n",
        unit,
        _usual_gap(text, statements),
    )


@lru_cache(maxsize=512)  # a piece is put into its file when it is tried, with the others, and at the end
def replacement(path: str, text: str, piece: Piece) -> Edit:
    """The replacement of a workspace function; header and docstring keep their characters if they may.

    The comments that stand behind a stub's placeholder go with it.
    """
    file = file_of(path, text)
    function = file.functions[piece.function.qualname]
    prefix = function.indent.rpartition("\f")[2]
    source = _with_remark(text, function, piece.written.source)
    new = file.breaks(indented(source, prefix, _unit_of(file, function)).removeprefix(prefix))
    new = _with_old_header(file, function, source, new)
    start, end = function.span.start, _whole_end(text, function)
    return make_edit(text, Edit(path, start, end, new, "target", piece.function.qualname))


def _own_unit(text: str, function: Function) -> str:
    """How much further right than the function its body stands; "" where it does not show."""
    first = function.docstring or function.body
    indent = indent_at(text, first.start).rpartition("\f")[2]
    own = function.indent.rpartition("\f")[2]
    return indent.removeprefix(own) if indent.startswith(own) else ""


def _unit_of(file: File, function: Function) -> str:
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


def _whole_end(text: str, function: Function) -> int:
    """Where a function ends; a stub behind the comments at its placeholder's end and further right below."""
    if not function.is_stub:
        return function.span.end
    margin = re.escape(function.indent.rpartition("\f")[2])
    comments = re.compile(rf"(?:[ \t\f]*#[^\r\n]*)?(?:(?:\r\n|\r|\n){margin}[ \t]+#[^\r\n]*)*")
    found = comments.match(text, function.span.end)
    return found.end() if found else function.span.end


def _with_remark(text: str, function: Function, source: str) -> str:
    """`source` with the comment for tools that a stub on one line ends with: it is about the signature."""
    held = text[function.signature.end : function.span.end]
    remark = text[function.span.end : line_end(text, function.span.end)].strip()
    apart = parts(source)
    if not function.is_stub or re.search(r"[\r\n]", held) or apart.comment.strip():
        return source
    if not _FOR_TOOLS.match(remark):
        return source
    return f"{apart.header}  {remark}\n{apart.lead}{apart.docstring}{apart.body}"


def _with_old_header(file: File, function: Function, source: str, new: str) -> str:
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
