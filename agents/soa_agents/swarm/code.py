"""What agents write, as checked code: plain values between replies, state and assembly.

Below the values stand the few questions about one function's code that both sides ask.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
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


def definition(source: str) -> Def:
    """The function that `source` holds; overload declarations before it are passed over.

    Raises `ValueError` when it holds none, `SyntaxError` when it does not parse.
    """
    found = [node for node in ast.parse(source).body if isinstance(node, Def)]
    if not found:
        raise ValueError("the source holds no function definition")
    return found[-1]


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
