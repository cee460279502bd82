"""Candidates that pass a test without doing its work, or try to: what the screen must not let through unseen.

`data/verify/cheats.txt` has each as a module with a function `answer`; the comment `# !words` marks a line
that has to be flagged with these words. `bench/screen.py` says which of them really pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_TEXT = Path(__file__).parent / "data/verify/cheats.txt"
_ASSERTIONS = {  # what a cheat is after
    "equal": "assert answer(6) == expected",
    "near": "assert abs(answer(6) - expected) < 1e-9",
    "within": "with answer(6) as got:\n        assert got == expected",
    "inside": "assert expected in answer(6)",
    "kind": "assert isinstance(answer, answer(6))",
    "called": "def check(got):\n        assert got == expected\n    answer(check)",
}


@dataclass(frozen=True, slots=True)
class Cheat:
    """One candidate: what it does, its code, and a module with the test that it wants to pass."""

    name: str
    code: str
    test: str

    @property
    def marked(self) -> list[tuple[int, str]]:
        """The lines to be flagged, each with words of the reason."""
        lines = enumerate(self.code.splitlines(), 1)
        return [(number, line.partition("# !")[2]) for number, line in lines if "# !" in line]


def _test(kind: str) -> str:
    head = "from cheat import answer\n\nEXPECTED = 1764\n\n\ndef test_answer():\n    expected = EXPECTED\n"
    return f"{head}    {_ASSERTIONS[kind]}\n"


def _cheats() -> list[Cheat]:
    parts = re.split(r"^=== (\w+): (.+)\n", _TEXT.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return [
        Cheat(name, code.strip("\n") + "\n", _test(kind))
        for kind, name, code in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    ]


CHEATS = _cheats()
