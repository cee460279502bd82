"""The texts of a case, made from the project's source: what the workspace holds, what the model answers.

Nothing of the product is used here: functions are found with `ast`, so that the product's own idea of a
span is checked against another.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from textwrap import dedent, indent

from e2e.cases import Case, Change

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Place:
    """A function in a text: its lines as a half-open range, and where its body begins after the docstring."""

    start: int
    body: int
    end: int
    indent: str


def place_of(text: str, name: str) -> Place:
    """Where the function of that qualified name stands; raises `LookupError`."""
    lines = text.splitlines(keepends=True)
    for qualname, node in _walk(ast.parse(text), ""):
        if qualname == name:
            start = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
            documented = ast.get_docstring(node) is not None
            before = node.body[0].end_lineno if documented else None
            first = node.body[1 if documented and len(node.body) > 1 else 0]
            body = before if before is not None else first.lineno - 1
            return Place(start, body, node.end_lineno or 0, lines[start][: node.col_offset])
    raise LookupError(name)


def source_of(text: str, name: str) -> str:
    """The function's source, dedented, without the last newline."""
    place = place_of(text, name)
    return dedent("".join(text.splitlines(keepends=True)[place.start : place.end])).rstrip("\n")


def changed(source: str, change: Change) -> str:
    """The source after the change, whose first text must occur in it exactly once."""
    old, new = change
    assert source.count(old) == 1, f"{old!r} occurs {source.count(old)} times"
    return source.replace(old, new)


def disturbed(text: str, case: Case) -> str:
    """The file as the person has it: the case's function broken or blanked, everything else as it was."""
    place = place_of(text, case.name)
    lines = text.splitlines(keepends=True)
    if case.broken is not None:
        source = changed(source_of(text, case.name), case.broken)
        new = indent(source, place.indent) + "\n"
    else:
        stub = indent(case.stub + "\n", place.indent + "    ") if case.stub else ""
        new = "".join(lines[place.start : place.body]) + stub
    return "".join([*lines[: place.start], new, *lines[place.end :]])


def answers(text: str, case: Case, number: int) -> dict[str, dict[str, list[str]]]:
    """Replies by target and step for one case: wrong at first, right after feedback.

    `number` picks how the replies are dressed, as models differ in that.
    """
    right = source_of(text, case.name)
    if case.helper is None:
        wrong = _dressed(case, changed(right, case.wrong), number)
        return {
            case.function: {
                "skeleton": [wrong],
                "code": [wrong],
                "feedback": [f"`{case.name}` does not yet do what its tests ask for: look at the first one."],
                "modify": [_dressed(case, right, number + 1)],
            }
        }
    helper = case.helper
    mother = changed(right, helper.mother)
    with_stub = _block(f"{helper.stub}\n\n\n{mother}")
    return {
        case.function: {
            "skeleton": [with_stub],
            "feedback": [
                f"`{helper.name}` fails on its smallest input; the function itself is as it should be."
            ],
            "modify": [with_stub],
        },
        f"{case.path}::{helper.name}": {
            "code": [_block(helper.wrong)],
            "skeleton": [_block(helper.wrong)],
            "feedback": ["The border is treated on the wrong side."],
            "modify": [_block(helper.right)],
        },
    }


def expected(text: str, case: Case) -> str:
    """The function's source as it has to be in the end."""
    right = source_of(text, case.name)
    return right if case.helper is None else changed(right, case.helper.mother)


def _walk(node: ast.AST, prefix: str) -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    found: list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FUNCTIONS):
            found.append((prefix + child.name, child))
            found += _walk(child, f"{prefix}{child.name}.<locals>.")
        elif isinstance(child, ast.ClassDef):
            found += _walk(child, f"{prefix}{child.name}.")
        else:
            found += _walk(child, prefix)
    return found


def _dressed(case: Case, source: str, number: int) -> str:
    """The same code as different models would send it."""
    owner, _, _ = case.name.rpartition(".")
    in_class = f"class {owner}:\n{indent(source, '    ')}" if owner and "<locals>" not in owner else source
    return (
        _block(source),
        f"<think>\nThe tests say what is wanted.\n</think>\n{_block(in_class)}",
        f"Here is the function.\n\n{_block(source)}\n\nIt keeps the signature as it was.",
        f"````python\n{source}\n````\n",
    )[number % 4]


def _block(source: str) -> str:
    return f"```python\n{source}\n```"
