"""A model's reply, read generously and checked strictly: text in, checked code out.

Whatever a reply gets wrong is raised as `ReplyError`, in words for the model: what was wrong, what to send.
The header and docstring of the function asked for are never taken from a reply: they stay the workspace's.
"""

from __future__ import annotations

import ast

from soa_agents.errors import ReplyError
from soa_agents.swarm.code import Def, Definition, Stubs, Written, docstring_node, is_stub
from soa_agents.swarm.imports import bindings, new_imports
from soa_agents.swarm.replies.blocks import abstention, answer, blocks_of, only_block
from soa_agents.swarm.replies.gathering import Found, Gatherer
from soa_agents.swarm.replies.keeping import keep
from soa_agents.swarm.replies.target import (
    Expect,
    check_target,
    decorators,
    find_target,
    grafted,
    readable,
    what_to_send,
)
from soa_agents.swarm.source import cut, words
from soa_agents.workspace.ids import FunctionId

__all__ = ["Expect", "read_code", "read_prose", "read_stubs", "read_tests"]

_PROSE = 6_000  # characters of feedback that are kept


def read_code(text: str, finish: str, expect: Expect) -> Written:
    """The function asked for and what comes with it. `finish` is the reply's.

    Raises `ReplyError`, and `CallFailed` when `expect.spec` has no signature that could be kept.
    """
    said = answer(text, finish)
    reason = abstention(said)
    if reason and expect.abstain_allowed:
        return Written("", abstained=reason)
    if reason:
        raise ReplyError(f"You cannot abstain from this one. {what_to_send(expect)}")
    spec = readable(expect)
    blocks = blocks_of(said)
    main, node = find_target(blocks, expect, spec)
    source = cut(main.source, node)
    check_target(node, source, expect, spec)
    found = Found(bindings(expect.module))
    Gatherer(expect, found, main.source, node).read(main.tree.body)
    for block in blocks:
        if block is not main:
            Gatherer(expect, found, block.source, None).read(block.tree.body)
    return keep(grafted(spec, source), found, expect)


def read_prose(text: str, finish: str) -> str:
    """Feedback: the reply without its thinking, capped. Raises `ReplyError` when nothing is left."""
    said = answer(text, "stop" if finish == "length" else finish)
    return said if len(said) <= _PROSE else said[:_PROSE].rstrip() + " …"


def read_tests(text: str, finish: str, function: FunctionId, module: str = "") -> str:
    """A module of pytest tests for `function`, imports kept. Raises `ReplyError`.

    Functions that came without the import of pytest, or of what they test from `module`, get it.
    """
    block = only_block(text, finish, "pytest test functions")
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
    if not words(block.source) & words(function.qualname):
        raise ReplyError(f"Your tests never use `{function.qualname}`. Send tests that call it.")
    first = function.qualname.partition(".")[0]
    known = {"pytest": "import pytest", **({first: f"from {module} import {first}"} if module else {})}
    missing = [line for name, line in known.items() if _is_free(name, block.tree)]
    return "\n".join([*missing, *(["", ""] if missing else []), block.source.strip("\n")])


def _is_free(name: str, tree: ast.Module) -> bool:
    """Whether a module uses a name that nothing in it binds, as far as can be seen."""
    imported = [
        alias
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    bound = {(alias.asname or alias.name).partition(".")[0] for alias in imported}
    bound |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {node.name for node in ast.walk(tree) if isinstance(node, Def | ast.ClassDef)}
    used = any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))
    return used and not bound & {name, "*"}


def read_stubs(text: str, finish: str, module: str, class_name: str | None = None) -> Stubs:
    """Typed stubs with docstrings for new functions of `module`, or of its class `class_name`.

    Functions and classes that stand in the module already are passed over. Raises `ReplyError`.
    """
    block = only_block(text, finish, "stubs")
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
    bound = method and "staticmethod" not in decorators(node)
    bare = [each.arg for each in every[int(bound) :] if each.annotation is None]
    if bare:
        return f"`{bare[0]}`"
    return "" if node.returns or node.name == "__init__" else "its result"
