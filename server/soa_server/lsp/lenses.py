"""Code lenses: above stubs, and above functions that our test runs hold responsible. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from soa_agents.workspace.functions import Function
from soa_agents.workspace.snapshot import is_test_file

from soa_server.lsp.documents import Outline


class Lens(NamedTuple):
    """One lens over a function's name: `start` and `end` count characters, `argument` is the command's."""

    start: int
    end: int
    title: str
    command: str
    argument: dict[str, Any]


def available(outline: Outline, failing: Mapping[str, tuple[str, ...]]) -> tuple[Lens, ...]:
    """The lenses of a document; `failing` are the node ids that fail because of a function, by its name.

    An implemented function without failing tests has none, and neither has a file of tests.
    """
    if is_test_file(outline.path):
        return ()
    made = (
        _lens(outline, function, len(failing.get(function.id.qualname, ()))) for function in outline.functions
    )
    return tuple(lens for lens in made if lens is not None)


def _lens(outline: Outline, function: Function, failing: int) -> Lens | None:
    if function.is_stub:
        title, command = "Generate with SoA", "soa.generate"
    elif failing:
        title, command = f"{failing} failing · Regenerate with SoA", "soa.regenerate"
    else:
        return None
    document = outline.document
    argument = {"uri": document.uri, "qualname": function.id.qualname, "version": document.version}
    return Lens(*function.name, title, command, argument)
