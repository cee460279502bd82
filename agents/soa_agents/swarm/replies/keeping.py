"""What of a reply is kept beside its target: what the target needs, checked. Pure."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Sequence
from dataclasses import dataclass

from soa_agents.errors import HelpersWrong
from soa_agents.swarm.code import Definition, Written, definition, docstring_node
from soa_agents.swarm.imports import bindings, imported, meanings
from soa_agents.swarm.replies.gathering import Found
from soa_agents.swarm.replies.target import Expect, check_whole
from soa_agents.swarm.source import words


def keep(source: str, found: Found, expect: Expect) -> Written:
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
    for name in sorted({name for each in chosen if not each.helper for name in each.bound}):
        _check_free(name, expect)
    imports = _needed_imports(found.imports, used, found, expect)
    return Written(source, helpers, statements, imports)


@dataclass(frozen=True, slots=True)
class _Offer:
    """Something that may come with the target, under the names it binds."""

    bound: frozenset[str]
    source: str
    helper: Definition | None = None


def _offers(found: Found) -> list[_Offer]:
    return [
        *(_Offer(frozenset({q.rpartition(".")[2]}), each.source, each) for q, each in found.helpers.items()),
        *(_Offer(frozenset(bindings(each)), each) for each in found.statements),
    ]


def _check_helper(helper: Definition, found: Found, expect: Expect) -> None:
    name = helper.qualname
    if name not in expect.mine:
        if name in found.standing:
            raise HelpersWrong(f"`{name}` exists in this module already. Give your helper another name.")
        _check_free(name, expect)
    node = definition(helper.source)
    if helper.is_stub and not expect.helpers_allowed:
        raise HelpersWrong(
            f"Your helper `{name}` is a stub, and nobody else will write it. Give it a body, or do its work "
            f"in `{expect.function.qualname}`."
        )
    if helper.is_stub and docstring_node(node) is None:
        raise HelpersWrong(
            f"Your helper `{name}` is a stub without a docstring. Say in one what it takes and returns."
        )
    check_whole(name, node, helper.source, expect.mine.get(name, ""))


def _check_free(name: str, expect: Expect) -> None:
    if name in expect.taken or hasattr(builtins, name):
        raise HelpersWrong(
            f"The name `{name}` is already taken. Choose another name and send everything again."
        )


def _needed_imports(
    wanted: Sequence[str], used: frozenset[str], found: Found, expect: Expect
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
            raise HelpersWrong(
                f"`{name}` means something else in this module. Write `{source}` with `as` another name "
                "and send everything again."
            )
        needed.append(source)
    return tuple(needed)


def _is_from_itself(node: ast.stmt, path: str) -> bool:
    """An import from the module that the function lives in, as replies write who take it for another file."""
    module = path.removesuffix(".py").replace("/", ".")
    return isinstance(node, ast.ImportFrom) and bool(node.module) and f".{module}".endswith(f".{node.module}")
