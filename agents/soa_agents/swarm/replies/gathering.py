"""What stands beside the target in a reply: new helpers, constants, classes and imports. Pure."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from soa_agents.errors import ReplyError
from soa_agents.swarm.code import Def, Definition, definition, is_stub, same_code, signature_difference
from soa_agents.swarm.imports import (
    bindings,
    inner_statements,
    meanings,
    names,
    new_imports,
    single_imports,
    top_level,
)
from soa_agents.swarm.replies.target import LOCALS, Expect, decorators, is_overload
from soa_agents.swarm.source import cut


@dataclass(slots=True)
class Found:
    """What comes with the target, before it is known what is used. `standing` is what the module binds."""

    standing: dict[str, list[ast.stmt]]
    helpers: dict[str, Definition] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Gatherer:
    """Reads what stands beside the target in a block; without a `target`, a block that merely adds to it."""

    expect: Expect
    found: Found
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
        if node is self.target or is_overload(node) or _is_among(node, standing):
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
        if prefix or not owner or owner.endswith(LOCALS):
            return prefix + node.name
        first = [each.arg for each in (*node.args.posonlyargs, *node.args.args)][:1]
        bound = first in (["self"], ["cls"]) or {"staticmethod", "classmethod"} & {*decorators(node)}
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
        elif prefix or not self._stands(node):
            line = ast.unparse(node).partition("\n")[0]
            self._refuse(node, f"`{line}` changes what stands beside the function")

    def _stands(self, node: ast.stmt) -> bool:
        """Whether the module runs the very same statement."""
        module = (each.node for each in top_level(self.expect.module))
        return any(type(each) is type(node) and same_code(node, each) for each in module if each)

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
