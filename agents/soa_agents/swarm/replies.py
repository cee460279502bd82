"""A model's reply, read generously and checked strictly: text in, checked code out.

Whatever a reply gets wrong is raised as `ReplyError`, in words for the model: what was wrong, what to send.
The header and docstring of the function asked for are never taken from a reply: they stay the workspace's.
"""

from __future__ import annotations

import ast
import builtins
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from soa_agents.errors import CallFailed, ReplyError
from soa_agents.swarm.code import (
    Def,
    Definition,
    Stubs,
    Written,
    cut,
    definition,
    docstring_node,
    is_stub,
    parts,
    same_code,
    signature_difference,
    stub_of,
    words,
)
from soa_agents.swarm.imports import (
    bindings,
    imported,
    inner_statements,
    meanings,
    names,
    new_imports,
    single_imports,
)
from soa_agents.workspace.ids import FunctionId

_PROSE = 6_000  # characters of feedback that are kept
_LOCALS = "<locals>"
_ELISION = re.compile(
    r"""\W*(
    ((the\s+)?(rest|remainder)\s+of\s+(the\s+)?(code|function|method|body|implementation|class|file|module)\b.*)
    | ((the\s+)?(rest|remainder)\s+(is|stays|remains)?\s*(unchanged|the\s+same|as\s+before|as\s+is))
    | (\w+\s+)?(existing|previous|original)\s+(code|implementation|logic|body)
      (\s+(here|continues|unchanged|as\s+before))?
    | (code|implementation|body|logic)\s+(is\s+)?(unchanged|omitted|goes\s+here|here)
    | (your|add|put|insert)\s+(code|implementation|logic)(\s+goes)?(\s+here)?
    )\W*$""",
    re.IGNORECASE | re.VERBOSE,
)
_UNFINISHED = re.compile(r"#.*\b(todo|fixme|implement)\b", re.IGNORECASE)
_DOTTED = re.compile(
    r"\b(rest|remaining|existing|unchanged|same\s+as|as\s+before|previous|omitted|your\s+code|other\s+(code|methods))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Expect:
    """What a reply has to be.

    `module` is the text of the file the function lives or will live in. `spec` is the function's dedented
    source as it stands. `mine` are the helpers (qualified name → source) that this agent already has: it may
    write them anew, and what they use counts as used; whoever adopts the reply keeps those it still calls.
    `taken` are names that no new helper may use. Without `helpers_allowed` a helper needs a body: nobody else
    would write it.
    """

    function: FunctionId
    module: str
    spec: str
    mine: Mapping[str, str] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()
    helpers_allowed: bool = True
    abstain_allowed: bool = False


def read_code(text: str, finish: str, expect: Expect) -> Written:
    """The function asked for and what comes with it. `finish` is the reply's.

    Raises `ReplyError`, and `CallFailed` when `expect.spec` has no signature that could be kept.
    """
    said = _said(text, finish)
    reason = _abstention(said)
    if reason and expect.abstain_allowed:
        return Written("", abstained=reason)
    if reason:
        raise ReplyError(f"You cannot abstain from this one. {_wanted(expect)}")
    spec = _readable(expect)
    blocks = _blocks(said)
    main, node = _find_target(blocks, expect, spec)
    source = cut(main.source, node)
    _check_target(node, source, expect, spec)
    found = _Found(bindings(expect.module))
    _Gatherer(expect, found, main.source, node).read(main.tree.body)
    for block in blocks:
        if block is not main:
            _Gatherer(expect, found, block.source, None).read(block.tree.body)
    return _kept(_grafted(spec, source), found, expect)


def read_prose(text: str, finish: str) -> str:
    """Feedback: the reply without its thinking, capped. Raises `ReplyError` when nothing is left."""
    said = _said(text, "stop" if finish == "length" else finish)
    return said if len(said) <= _PROSE else said[:_PROSE].rstrip() + " …"


def read_tests(text: str, finish: str, function: FunctionId) -> str:
    """A module of pytest tests for `function`, imports kept. Raises `ReplyError`."""
    block = _only_block(text, finish, "pytest test functions")
    defined = [node for node in ast.walk(block.tree) if isinstance(node, Def | ast.ClassDef)]
    if not any(isinstance(node, Def) and node.name.startswith("test") for node in defined):
        raise ReplyError(
            "Your reply holds no test function. Send one fenced python block of functions named `test_…`."
        )
    if any(node.name == function.name for node in block.tree.body if isinstance(node, Def)):
        raise ReplyError(
            f"Your tests define `{function.name}` themselves. Import it from its module instead and send the "
            "whole block again."
        )
    if not words(block.source) & set(re.findall(r"\w+", function.qualname)):
        raise ReplyError(f"Your tests never use `{function.qualname}`. Send tests that call it.")
    return block.source.strip("\n")


def read_stubs(text: str, finish: str, module: str, class_name: str | None = None) -> Stubs:
    """Typed stubs with docstrings for new functions of `module`, or of its class `class_name`.

    Functions and classes that stand in the module already are passed over. Raises `ReplyError`.
    """
    block = _only_block(text, finish, "stubs")
    standing = bindings(module)
    prefix = f"{class_name}." if class_name else ""
    body, imports = [], list[str]()
    for node in block.tree.body:
        if class_name and isinstance(node, ast.ClassDef) and node.name == class_name.rpartition(".")[2]:
            body += node.body
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports += new_imports(node, module)
        else:
            body.append(node)
    found = tuple(
        _stub(block.source, node, prefix)
        for node in body
        if isinstance(node, Def | ast.ClassDef) and prefix + node.name not in standing
    )
    if not found:
        raise ReplyError(
            "Your reply holds no new stub. Send one fenced python block of functions that do not exist yet, "
            "each with type hints, a docstring and `...` as its body."
        )
    used = frozenset[str]().union(*(words(each.source) for each in found))
    return Stubs(found, tuple(each for each in imports if used & {*bindings(each)}))


@dataclass(frozen=True, slots=True)
class _Block:
    """One block of code, dedented. `tree` is empty where `error` says why it does not parse."""

    source: str
    tree: ast.Module
    error: SyntaxError | None = None
    closed: bool = True


def _said(text: str, finish: str) -> str:
    """The reply without its thinking."""
    if finish == "length":
        raise ReplyError(
            "Your reply was cut off before its end. Send the whole answer again, shorter: less thinking, no "
            "prose around the code, smaller functions."
        )
    if finish == "content_filter":
        raise ReplyError(
            "Your reply was withheld by a content filter. Send the answer again, in other words."
        )
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    said = _without_thinking(text).strip("\n")
    if not said.strip():
        raise ReplyError("Your reply was empty. Send the answer in the format that was asked for.")
    if re.match(r"\s*(<!doctype html|<html\b)", said, re.IGNORECASE):
        raise ReplyError("Your reply was an HTML page. Send the answer in the format that was asked for.")
    return said


def _without_thinking(text: str) -> str:
    """Drops `<think>…</think>` outside of code; where one of the two is missing, all on its side."""
    kept: list[str] = []
    fence, thinking = "", False
    for line in text.split("\n"):
        if thinking:
            _, closed, after = line.partition("</think")
            thinking = not closed
            line = after.partition(">")[2]
            if thinking or not line.strip():
                continue
        if fence:
            fence = "" if _closes(line, fence) else fence
        elif opening := re.match(r"\s*(`{3,}|~{3,})", line):
            fence = opening[1]
        elif re.match(r"\s*<think(ing)?>", line):
            closed_at = line.find("</think")
            thinking = closed_at < 0
            line = "" if thinking else line[closed_at:].partition(">")[2]
        elif re.match(r".*</think(ing)?>\s*$", line):
            kept, line = [], ""
        kept.append(line)
    return "\n".join(kept)


def _abstention(said: str) -> str:
    first = said.lstrip().partition("\n")[0]
    match = re.match(r"[\s*_#>]*abstain[*_]*\s*:[\s*_]*(.+)", first, re.IGNORECASE)
    return match[1].strip(" *_") if match else ""


def _closes(line: str, fence: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(fence) and not bare.strip(fence[0])


def _blocks(said: str) -> tuple[_Block, ...]:
    """The fenced blocks; the whole reply where it has no fence and is Python."""
    lines = said.split("\n")
    found: list[_Block] = []
    row = 0
    while row < len(lines):
        opening = re.match(r"([ \t]*)(`{3,}|~{3,})[^`]*$", lines[row])
        row += 1
        if not opening:
            continue
        ends = [end for end in range(row, len(lines)) if _closes(lines[end], opening[2])]
        margin = len(opening[1])
        # A fence inside a docstring looks like the end: the first end that leaves whole Python is taken.
        tried = [_block(lines[row:end], margin) for end in ends[:12]]
        good = next((number for number, each in enumerate(tried) if each.error is None), 0)
        if ends:
            found.append(tried[good])
            row = ends[good] + 1
        else:
            found.append(_block(lines[row:], margin, closed=False))
            row = len(lines)
    if not found:
        whole = _block(lines, 0)
        found = [whole] if whole.tree.body else []
    return tuple(found)


def _block(lines: Sequence[str], margin: int, closed: bool = True) -> _Block:
    source = "\n".join(line[margin:] if not line[:margin].strip() else line for line in lines)
    block = _parsed(source, closed)
    return _parsed(textwrap.dedent(source), closed) if isinstance(block.error, IndentationError) else block


def _parsed(source: str, closed: bool) -> _Block:
    try:
        return _Block(source, ast.parse(source), closed=closed)
    except SyntaxError as error:
        return _Block(source, ast.Module([], []), error, closed)
    except ValueError as error:  # a NUL character
        return _Block(source, ast.Module([], []), SyntaxError(str(error)), closed)


def _only_block(text: str, finish: str, what: str) -> _Block:
    """The last block that parses; raises `ReplyError` when there is none."""
    blocks = _blocks(_said(text, finish))
    good = [block for block in blocks if block.tree.body]
    if good:
        return good[-1]
    again = f"Send one fenced python block of {what}."
    raise ReplyError(f"{_broken(blocks[-1])} {again}" if blocks else f"Your reply holds no code. {again}")


def _broken(block: _Block) -> str:
    if block.error is None:
        return "Your code block is empty."
    error, lines = block.error, block.source.split("\n")
    row = error.lineno or 0
    line = f": {lines[row - 1].strip()}" if 0 < row <= len(lines) else ""
    unclosed = "" if block.closed else " The block has no closing fence."
    return f"Your code does not parse: {error.msg} (line {row} of the block{line}).{unclosed}"


def _wanted(expect: Expect) -> str:
    """What to send instead."""
    header = parts(_readable(expect)).header
    return (
        f"Send one fenced python block that holds the whole of `{expect.function.qualname}` with a real body "
        f"and exactly this signature:\n```python\n{header}\n```"
    )


def _readable(expect: Expect) -> str:
    """The specification; where its body does not parse (it is to be repaired), its signature with `...`."""
    try:
        definition(expect.spec)
        return expect.spec
    except SyntaxError:
        pass
    try:
        return stub_of(expect.spec)
    except SyntaxError as error:
        raise CallFailed(
            f"The signature of {expect.function} does not parse ({error.msg}). Mend it, or run SoA "
            "with a newer Python."
        ) from error


def _find_target(blocks: Sequence[_Block], expect: Expect, spec: str) -> tuple[_Block, Def]:
    """The last block that defines the function asked for, and the definition in it."""
    name = expect.function.name
    for block in reversed(blocks):
        if block.error and re.search(rf"\bdef\s+{re.escape(name)}\b", block.source):
            raise ReplyError(f"{_broken(block)} {_wanted(expect)}")
        if node := _target_in(block.tree, expect.function, definition(spec)):
            return block, node
    broken = next((block for block in reversed(blocks) if block.error), None)
    if broken is not None:
        raise ReplyError(f"{_broken(broken)} {_wanted(expect)}")
    defined = [each for block in blocks for each, _ in _definitions(block.tree.body, "")]
    if not defined:
        what = "defines no function" if blocks else "holds no code"
        raise ReplyError(f"Your reply {what}. {_wanted(expect)}")
    listed = ", ".join(f"`{each}`" for each in dict.fromkeys(defined))
    raise ReplyError(
        f"Your reply defines {listed} but not `{expect.function.qualname}`, which was asked for. "
        + _wanted(expect)
    )


def _definitions(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, Def]]:
    """Every function of a block with its qualified name, branches and classes included."""
    for node in body:
        if isinstance(node, Def):
            yield prefix + node.name, node
            yield from _definitions(node.body, f"{prefix}{node.name}.{_LOCALS}.")
        elif isinstance(node, ast.ClassDef):
            yield from _definitions(node.body, f"{prefix}{node.name}.")
        else:
            yield from _definitions(inner_statements(node), prefix)


def _target_in(tree: ast.Module, function: FunctionId, spec: Def) -> Def | None:
    """The definition of `function`: under its whole name, or with outer parts of the name left out."""
    wanted = function.qualname.partition("#")[0]
    found = [(each, node) for each, node in _definitions(tree.body, "") if not _is_overload(node)]
    fitting = [(each, node) for each, node in found if wanted == each or wanted.endswith(f".{each}")]
    if not fitting:
        return None
    longest = max(len(each) for each, _ in fitting)
    nodes = [node for each, node in fitting if len(each) == longest]
    decorated = [node for node in nodes if _decorators(node) == _decorators(spec)]
    return (decorated or nodes)[-1]


def _is_overload(node: Def) -> bool:
    return any(each.rpartition(".")[2] == "overload" for each in _decorators(node))


def _decorators(node: Def) -> list[str]:
    return [ast.unparse(each) for each in node.decorator_list]


def _check_target(node: Def, source: str, expect: Expect, spec: str) -> None:
    name, wanted = expect.function.qualname, definition(spec)
    added = [each for each in _decorators(node) if each not in _decorators(wanted)]
    if added:
        raise ReplyError(
            f"You decorated `{name}` with `@{added[0]}`; its decorators must stay. {_wanted(expect)}"
        )
    if difference := signature_difference(wanted, node):
        raise ReplyError(f"You changed the signature of `{name}`: {difference}. {_wanted(expect)}")
    if is_stub(node):
        raise ReplyError(f"`{name}` is still a stub in your reply. {_wanted(expect)}")
    _check_whole(name, node, source, expect.spec)


def _check_whole(name: str, node: Def, source: str, before: str) -> None:
    """No part of the code is only hinted at."""
    placeholder = not is_stub(node) and any(
        isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) and each.value.value is ...
        for each in node.body
    )
    if not placeholder and not (hint := next(_elisions(source, before), "")):
        return
    what = "`...`" if placeholder else f"`{hint}`"
    raise ReplyError(
        f"`{name}` stands in your reply with a part left out ({what}). Send it again as a whole, every line "
        "written out."
    )


def _elisions(source: str, before: str) -> Iterator[str]:
    """Comments that stand for code, unless they stood there before."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and token.string not in before:
            alone = not token.line[: token.start[1]].strip()
            dotted = "..." in token.string or "…" in token.string
            if (alone and _ELISION.match(token.string)) or (dotted and _DOTTED.search(token.string)):
                yield token.string


@dataclass(slots=True)
class _Found:
    """What comes with the target, before it is known what is used. `standing` is what the module binds."""

    standing: dict[str, list[ast.stmt]]
    helpers: dict[str, Definition] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Gatherer:
    """Reads what stands beside the target in a block; without a `target`, a block that merely adds to it."""

    expect: Expect
    found: _Found
    source: str
    target: Def | None

    def read(self, body: Sequence[ast.stmt], prefix: str = "") -> None:
        """Take up every statement; `prefix` is the class they stand in, with a dot."""
        for node in body:
            if isinstance(node, Def):
                self._function(node, prefix)
            elif isinstance(node, ast.ClassDef):
                self._class(node, prefix)
            elif isinstance(node, ast.Import | ast.ImportFrom) and not prefix:
                self._import(node)
            elif not self._ignored(node, prefix):
                self._statement(node, prefix)

    def _function(self, node: Def, prefix: str) -> None:
        qualname = self._qualname(node, prefix)
        standing = self.found.standing.get(qualname, [])
        own = qualname == self.expect.function.qualname.partition("#")[0]
        if node is self.target or _is_overload(node) or _is_among(node, standing):
            return
        if self.target is not None and self.target in ast.walk(node):
            self._holder(node, standing)
        elif standing or own:
            echo = is_stub(node) and any(_same_parameters(node, each) for each in standing)
            if not echo:
                self._refuse(node, f"You changed `{qualname}`, which is not yours to change")
        elif not node.name.startswith("test_"):
            new = Definition(qualname, cut(self.source, node), is_stub(node))
            self.found.helpers.setdefault(qualname, new)

    def _qualname(self, node: Def, prefix: str) -> str:
        """Where a function belongs. Beside a bare method, one that takes `self` is a method as well."""
        owner = self.expect.function.qualname.rpartition(".")[0]
        if prefix or not owner or owner.endswith(_LOCALS):
            return prefix + node.name
        first = [each.arg for each in (*node.args.posonlyargs, *node.args.args)][:1]
        bound = first in (["self"], ["cls"]) or {"staticmethod", "classmethod"} & {*_decorators(node)}
        return f"{owner}.{node.name}" if bound else node.name

    def _holder(self, node: Def, standing: Sequence[ast.stmt]) -> None:
        """A function around the target: but for the target it must be as it stands, or only hinted at."""
        rest = _without(node, self.expect.function.name)
        same = any(same_code(rest, _without(each, self.expect.function.name)) for each in standing)
        if not same and not is_stub(rest):
            self._refuse(node, f"You changed `{node.name}` around the function asked for")

    def _class(self, node: ast.ClassDef, prefix: str) -> None:
        qualname = prefix + node.name
        chain = self.expect.function.qualname.split(".")[:-1]
        if not prefix and node.name in chain:
            qualname = ".".join(chain[: chain.index(node.name) + 1])
        standing = self.found.standing.get(qualname, [])
        if qualname == ".".join(chain[: qualname.count(".") + 1]):
            self.read(node.body, f"{qualname}.")
        elif _is_among(node, standing):
            return
        elif standing or prefix:
            known = bool(standing) and all(
                self._ignored(each, f"{qualname}.") or self._is_echo(each, f"{qualname}.")
                for each in node.body
            )
            if not known:
                self._refuse(node, f"You changed or added class `{qualname}`, which is not yours to change")
        else:
            self._add(node)

    def _is_echo(self, node: ast.stmt, prefix: str) -> bool:
        if not isinstance(node, Def):
            return False
        standing = self.found.standing.get(prefix + node.name, [])
        return _is_among(node, standing) or (is_stub(node) and bool(standing))

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if any(alias.name == "*" for alias in node.names):
            self._refuse(node, "You imported `*`; name what you need")
            return
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            if not new_imports(node, self.expect.module):
                return
            self._refuse(node, "You added an import from `__future__`, which changes the whole module")
            return
        self.found.imports += single_imports(node)

    def _ignored(self, node: ast.stmt, prefix: str) -> bool:
        """What changes nothing: examples, what holds the target, what the module has already."""
        if isinstance(node, ast.Expr | ast.Assert | ast.Pass):
            return True
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            return True
        if self.target is not None and self.target in ast.walk(node):
            return True
        if isinstance(node, ast.For | ast.With | ast.If | ast.Try):
            return all(self._ignored(each, prefix) for each in inner_statements(node))
        bound = names(node)
        return bool(bound) and all(
            _is_among(node, self.found.standing.get(prefix + each, [])) for each in bound
        )

    def _statement(self, node: ast.stmt, prefix: str) -> None:
        assigned = isinstance(node, ast.Assign | ast.AnnAssign) or type(node).__name__ == "TypeAlias"
        bound = names(node)
        new = assigned and bound and not any(each in self.found.standing for each in bound)
        branch = isinstance(node, ast.If | ast.Try) and _only_imports(node)
        if not prefix and (new or branch):
            self._add(node)
        else:
            line = ast.unparse(node).partition("\n")[0]
            self._refuse(node, f"`{line}` changes what stands beside the function")

    def _add(self, node: ast.stmt) -> None:
        source = cut(self.source, node)
        if not {*bindings(source)} & {name for each in self.found.statements for name in bindings(each)}:
            self.found.statements.append(source)

    def _refuse(self, node: ast.stmt, what: str) -> None:
        if self.target is not None:
            raise ReplyError(
                f"{what} (line {node.lineno} of the block). Leave it out: send "
                f"`{self.expect.function.qualname}`, its new helpers and the imports they need, nothing else."
            )


def _is_among(node: ast.stmt, standing: Sequence[ast.stmt]) -> bool:
    return any(same_code(node, each) for each in standing)


def _same_parameters(node: Def, other: ast.stmt) -> bool:
    return isinstance(other, Def) and not signature_difference(other, node)


def _without(node: ast.stmt, name: str) -> Def:
    """A copy of a function without the functions called `name` in it."""
    copy = definition(ast.unparse(node))
    for holder in ast.walk(copy):
        body = getattr(holder, "body", None)
        if isinstance(body, list):
            kept = [each for each in body if not (isinstance(each, Def) and each.name == name)]
            holder.body = kept or [ast.Pass()]  # type: ignore[attr-defined]  # `getattr` just found it
    return copy


def _only_imports(node: ast.If | ast.Try) -> bool:
    """A branch around imports: for type checkers, or with a fallback."""
    simple = [each for each in ast.walk(node) if isinstance(each, ast.stmt) and each is not node]
    return any(meanings(each) for each in simple) and all(
        isinstance(each, ast.Import | ast.ImportFrom | ast.Assign | ast.Pass) for each in simple
    )


def _grafted(spec: str, source: str) -> str:
    """The workspace's header and docstring on the reply's body."""
    old, new = parts(spec), parts(source)
    comment = "\n" if _UNFINISHED.search(old.comment) else old.comment
    lead = "" if _UNFINISHED.search(old.lead) else old.lead
    docstring = new.docstring
    if old.docstring:
        lines = old.docstring.splitlines(keepends=True)
        docstring = "".join(
            new.indent + line.removeprefix(old.indent) if line.startswith(old.indent) else line
            for line in lines
        )
    return f"{old.header}{comment}{lead}{docstring}{new.body}".rstrip()


@dataclass(frozen=True, slots=True)
class _Offer:
    """Something that may come with the target, under the names it binds."""

    bound: frozenset[str]
    source: str
    helper: Definition | None = None


def _kept(source: str, found: _Found, expect: Expect) -> Written:
    """What the target uses, directly or through what it uses; the rest of a reply is left out."""
    offers, kept = _offers(found), list[_Offer]()
    older = [own for name, own in expect.mine.items() if name not in found.helpers]
    used = words(source).union(*map(words, older))
    while new := [each for each in offers if each.bound & used and each not in kept]:
        kept += new
        used = used.union(*(words(each.source) for each in new))
    chosen = [each for each in offers if each in kept]
    helpers = tuple(each.helper for each in chosen if each.helper)
    for helper in helpers:
        _check_helper(helper, found, expect)
    statements = tuple(each.source for each in chosen if not each.helper)
    for name in {name for each in chosen if not each.helper for name in each.bound}:
        _check_free(name, expect)
    imports = _needed_imports(found.imports, used, found, expect)
    return Written(source, helpers, statements, imports)


def _offers(found: _Found) -> list[_Offer]:
    return [
        *(_Offer(frozenset({q.rpartition(".")[2]}), each.source, each) for q, each in found.helpers.items()),
        *(_Offer(frozenset(bindings(each)), each) for each in found.statements),
    ]


def _check_helper(helper: Definition, found: _Found, expect: Expect) -> None:
    name = helper.qualname
    if name not in expect.mine:
        if name in found.standing:
            raise ReplyError(f"`{name}` exists in this module already. Give your helper another name.")
        _check_free(name, expect)
    node = definition(helper.source)
    if helper.is_stub and not expect.helpers_allowed:
        raise ReplyError(
            f"Your helper `{name}` is a stub, and nobody else will write it. Give it a body, or do its work "
            f"in `{expect.function.qualname}`."
        )
    if helper.is_stub and docstring_node(node) is None:
        raise ReplyError(
            f"Your helper `{name}` is a stub without a docstring. Say in one what it takes and returns."
        )
    _check_whole(name, node, helper.source, expect.mine.get(name, ""))


def _check_free(name: str, expect: Expect) -> None:
    if name in expect.taken or hasattr(builtins, name):
        raise ReplyError(
            f"The name `{name}` is already taken. Choose another name and send everything again."
        )


def _needed_imports(
    wanted: Sequence[str], used: frozenset[str], found: _Found, expect: Expect
) -> tuple[str, ...]:
    """Single imports that are used and that the module does not have."""
    have, needed = imported(expect.module), list[str]()
    for source in wanted:
        node = ast.parse(source).body[0]
        name, meaning = next(iter(meanings(node).items()))
        if name not in used or meaning in have.get(name, ()) or source in needed:
            continue
        if _is_from_itself(node, expect.function.path) and (name in found.standing or name in found.helpers):
            continue
        known = found.standing.get(name, [])
        submodule = isinstance(node, ast.Import) and all(isinstance(each, ast.Import) for each in known)
        if known and not submodule and not any(meanings(each).get(name) == meaning for each in known):
            raise ReplyError(
                f"`{name}` means something else in this module. Write `{source}` with `as` another name "
                "and send everything again."
            )
        needed.append(source)
    return tuple(needed)


def _is_from_itself(node: ast.stmt, path: str) -> bool:
    """An import from the module that the function lives in, as replies write who take it for another file."""
    module = path.removesuffix(".py").replace("/", ".")
    return isinstance(node, ast.ImportFrom) and bool(node.module) and f".{module}".endswith(f".{node.module}")


def _stub(source: str, node: Def | ast.ClassDef, prefix: str) -> Definition:
    """A checked stub, or class of stubs, out of a block."""
    name = prefix + node.name
    if docstring_node(node) is None:
        raise ReplyError(f"The stub `{name}` has no docstring. Send all stubs again, each with one.")
    if isinstance(node, ast.ClassDef):
        for each in node.body:
            if isinstance(each, Def):
                _stub(source, each, f"{name}.")
        return Definition(name, cut(source, node), True)
    if not is_stub(node):
        raise ReplyError(f"`{name}` has a body. Send all stubs again, each with `...` after its docstring.")
    if missing := _untyped(node, bool(prefix)):
        raise ReplyError(
            f"The stub `{name}` has no type for {missing}. Send all stubs again, fully annotated."
        )
    return Definition(name, cut(source, node), True)


def _untyped(node: Def, method: bool) -> str:
    """What of the signature lacks an annotation."""
    args = node.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs]
    every += [each for each in (args.vararg, args.kwarg) if each]
    bound = method and "staticmethod" not in _decorators(node)
    bare = [each.arg for each in every[int(bound) :] if each.annotation is None]
    if bare:
        return f"`{bare[0]}`"
    return "" if node.returns or node.name == "__init__" else "its result"
