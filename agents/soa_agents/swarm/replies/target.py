"""The function that a reply was asked for: found in it, checked, put under its own header. Pure."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from soa_agents.errors import CallFailed, Refused, ReplyError
from soa_agents.swarm.code import Def, definition, is_stub, signature_difference
from soa_agents.swarm.imports import inner_statements
from soa_agents.swarm.replies.blocks import PYTHON, Block, complaint
from soa_agents.swarm.source import parts, stub_of
from soa_agents.workspace.ids import FunctionId

LOCALS = "<locals>"
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
_UNFINISHED = re.compile(r"#.*\b(todo|fixme|implement)\b|#\W*to[- ]do\b", re.IGNORECASE)
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


def what_to_send(expect: Expect) -> str:
    """What to send instead, as a sentence for the model."""
    header = parts(readable(expect)).header
    return (
        f"Send one fenced python block that holds the whole of `{expect.function.qualname}` with a real body "
        f"and exactly this signature:\n```python\n{header}\n```"
    )


def readable(expect: Expect) -> str:
    """The specification; where its body does not parse (it is to be repaired), its signature with `...`."""
    try:
        return _with_readable_body(expect.spec)
    except SyntaxError as error:
        raise CallFailed(_unreadable(expect.function, expect.spec, error)) from error


def check_signature(function: FunctionId, spec: str) -> None:
    """Raises `Refused` when no reply could be put under the signature of `spec`, since it does not parse."""
    try:
        _with_readable_body(spec)
    except SyntaxError as error:
        raise Refused(_unreadable(function, spec, error)) from error


def find_target(blocks: Sequence[Block], expect: Expect, spec: str) -> tuple[Block, Def]:
    """The last block that defines the function asked for, and the definition in it."""
    name = expect.function.name
    for block in reversed(blocks):
        if block.error and re.search(rf"\bdef\s+{re.escape(name)}\b", block.source):
            raise ReplyError(f"{complaint(block)} {what_to_send(expect)}")
        if node := _target_in(block.tree, expect.function, definition(spec)):
            return block, node
    broken = next((block for block in reversed(blocks) if block.error), None)
    if broken is not None:
        raise ReplyError(f"{complaint(broken)} {what_to_send(expect)}")
    defined = [each for block in blocks for each, _ in _definitions(block.tree.body, "")]
    if not defined:
        what = "defines no function" if blocks else "holds no code"
        raise ReplyError(f"Your reply {what}. {what_to_send(expect)}")
    listed = ", ".join(f"`{each}`" for each in dict.fromkeys(defined))
    raise ReplyError(
        f"Your reply defines {listed} but not `{expect.function.qualname}`, which was asked for. "
        + what_to_send(expect)
    )


def check_target(node: Def, source: str, expect: Expect, spec: str) -> None:
    """Raises `ReplyError` unless `node` (`source`) keeps the header of `spec` and has a whole body."""
    name, wanted = expect.function.qualname, definition(spec)
    added = [each for each in decorators(node) if each not in decorators(wanted)]
    if added:
        raise ReplyError(
            f"You decorated `{name}` with `@{added[0]}`; its decorators must stay. {what_to_send(expect)}"
        )
    if difference := signature_difference(wanted, node):
        raise ReplyError(f"You changed the signature of `{name}`: {difference}. {what_to_send(expect)}")
    if is_stub(node):
        raise ReplyError(f"`{name}` is still a stub in your reply. {what_to_send(expect)}")
    check_whole(name, node, source, expect.spec)


def check_whole(name: str, node: Def, source: str, before: str) -> None:
    """Raises `ReplyError` where a part of the code is only hinted at; `before` is what stood there."""
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


def grafted(spec: str, source: str) -> str:
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


def _with_readable_body(spec: str) -> str:
    try:
        definition(spec)
        return spec
    except SyntaxError:
        return stub_of(spec)


def _unreadable(function: FunctionId, spec: str, error: SyntaxError) -> str:
    """For a person: why the signature cannot be read, and what to do."""
    if sys.version_info < (3, 12) and re.search(r"\bdef\s+\w+\s*\[", spec):
        return (
            f"{function} has type parameters, which {PYTHON} cannot read. "
            "Run SoA's server with Python 3.12 or newer."
        )
    return (
        f"The signature of {function} does not parse ({error.msg}). Mend it, or run SoA's server with the "
        "Python it is written for."
    )


def is_overload(node: Def) -> bool:
    """Whether it only declares an overload."""
    return any(each.rpartition(".")[2] == "overload" for each in decorators(node))


def decorators(node: Def) -> list[str]:
    """Its decorators, without `@`."""
    return [ast.unparse(each) for each in node.decorator_list]


def _definitions(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, Def]]:
    """Every function of a block with its qualified name, branches and classes included."""
    for node in body:
        if isinstance(node, Def):
            yield prefix + node.name, node
            yield from _definitions(node.body, f"{prefix}{node.name}.{LOCALS}.")
        elif isinstance(node, ast.ClassDef):
            yield from _definitions(node.body, f"{prefix}{node.name}.")
        else:
            yield from _definitions(inner_statements(node), prefix)


def _target_in(tree: ast.Module, function: FunctionId, spec: Def) -> Def | None:
    """The definition of `function`: under its whole name, or with outer parts of the name left out."""
    wanted = function.qualname.partition("#")[0]
    found = [(each, node) for each, node in _definitions(tree.body, "") if not is_overload(node)]
    fitting = [(each, node) for each, node in found if wanted == each or wanted.endswith(f".{each}")]
    if not fitting:
        return None
    longest = max(len(each) for each, _ in fitting)
    nodes = [node for each, node in fitting if len(each) == longest]
    decorated = [node for node in nodes if decorators(node) == decorators(spec)]
    return (decorated or nodes)[-1]


def _elisions(source: str, before: str) -> Iterator[str]:
    """Comments that stand for code, unless they stood there before."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and token.string not in before:
            alone = not token.line[: token.start[1]].strip()
            dotted = "..." in token.string or "…" in token.string
            if (alone and _ELISION.match(token.string)) or (dotted and _DOTTED.search(token.string)):
                yield token.string
