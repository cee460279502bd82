"""How a function is named everywhere in SoA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from soa_agents.errors import UsageError


@dataclass(frozen=True, slots=True, order=True)
class FunctionId:
    """`relative/posix/path.py::qualname`, in Python's own `__qualname__` spelling.

    Nested functions are written with `.<locals>.`; further definitions of one name in a file take `#2`,
    `#3` in file order. `path` is relative to the workspace folder; with several folders it begins with the
    folder's unique name and `/`. A module is `path.py::<module>`.
    """

    path: str
    qualname: str

    MODULE: ClassVar[str] = "<module>"

    def __str__(self) -> str:
        return f"{self.path}::{self.qualname}"

    @property
    def name(self) -> str:
        """The last part of the qualified name, without `#2`: what a `def` line spells."""
        return self.qualname.rpartition(".")[2].partition("#")[0]

    @classmethod
    def parse(cls, text: str) -> FunctionId:
        """Read `path::qualname`; raises `UsageError` when it has not that form."""
        path, separator, qualname = text.partition("::")
        if not separator or not path or not qualname:
            raise UsageError(f"{text!r} is not a function id; write it as path/to/file.py::qualified.name.")
        return cls(path.replace("\\", "/").removeprefix("./"), qualname)
