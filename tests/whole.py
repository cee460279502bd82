"""Many functions of a real project at once: disturbed together, answered by a server, looked at afterwards.

The right answer is always the project's own source. Functions are found with `ast` (`e2e.texts`), so that
the product's own idea of a span is checked against another.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

from e2e.texts import place_of, source_of
from openai_server import Answer, Answerer, asked

GO_ON = '```json\n{"decision": "go_on", "reason": "Some came closer."}\n```'


@dataclass(frozen=True, slots=True)
class Part:
    """One function of the work. `wrong` is another source of it, which its tests tell from the right one."""

    path: str
    name: str
    wrong: str = ""

    @property
    def function(self) -> str:
        """The function's id."""
        return f"{self.path}::{self.name}"


def read(root: Path, parts: Collection[Part]) -> dict[str, str]:
    """The files that the work is about, by path."""
    return {path: (root / path).read_bytes().decode() for path in sorted({part.path for part in parts})}


def write(root: Path, texts: Mapping[str, str]) -> None:
    """Put these texts into the project."""
    for path, text in texts.items():
        (root / path).write_bytes(text.encode())


def blanked(texts: Mapping[str, str], parts: Collection[Part]) -> dict[str, str]:
    """The texts with every function reduced to its signature and docstring."""
    return _disturbed(texts, parts, lambda part, head, margin: f"{head}{margin}    ...\n")


def broken(texts: Mapping[str, str], parts: Collection[Part]) -> dict[str, str]:
    """The texts with the wrong source of every function."""
    return _disturbed(texts, parts, lambda part, head, margin: indent(part.wrong, margin) + "\n")


def _disturbed(texts: Mapping[str, str], parts: Collection[Part], new: Any) -> dict[str, str]:
    found = dict(texts)
    for part in parts:
        lines = found[part.path].splitlines(keepends=True)
        place = place_of(found[part.path], part.name)
        head = "".join(lines[place.start : place.body])
        found[part.path] = "".join(
            [*lines[: place.start], new(part, head, place.indent), *lines[place.end :]]
        )
    return found


def answers(texts: Mapping[str, str], first_wrong: Collection[Part] = ()) -> Answerer:
    """A model that knows the project: every function as it was, those of `first_wrong` wrongly at first.

    A planner says something of the first function, a judge that it goes on.
    """
    wrong = {part.function: part.wrong for part in first_wrong}

    def answer(request: dict[str, Any]) -> Answer:
        target, step = asked(request)
        if step == "judge":
            return Answer(GO_ON)
        if step == "plan":
            task = f'{{"function": "{target}", "instruction": "Mind the empty case."}}'
            return Answer(f'```json\n{{"tasks": [{task}], "planners": []}}\n```')
        if step == "feedback":
            return Answer("It does not yet do what its tests ask for: look at the first one.")
        path, _, name = target.partition("::")
        source = wrong.pop(target, "") or source_of(texts[path], name)
        return Answer(f"```python\n{source}\n```")

    return answer


def left(root: Path, texts: Mapping[str, str], parts: Collection[Part]) -> list[str]:
    """The functions that are not as they were."""
    now = read(root, parts)
    return [part.function for part in parts if _meaning(now, part) != _meaning(texts, part)]


def _meaning(texts: Mapping[str, str], part: Part) -> str:
    return ast.dump(ast.parse(source_of(texts[part.path], part.name)))


def outcomes(printed: str) -> dict[str, int]:
    """What pytest's last line counts: `{"passed": 3, "failed": 1}`."""
    last = next((line for line in reversed(printed.splitlines()) if re.search(r" in [\d.]+s", line)), "")
    return {what: int(count) for count, what in re.findall(r"(\d+) (\w+)", last.partition(" in ")[0])}


def soa(arguments: Sequence[str], root: Path, home: Path, base_url: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command in the project, as a person would who has nothing else set."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL", "TZ")}
    state = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "XDG_CACHE_HOME": str(home / "cache")}
    model = {"OPENAI_BASE_URL": base_url, "SOA_MODEL": "scripted"}
    return subprocess.run(
        [sys.executable, "-m", "soa_server.cli", *arguments],
        cwd=root,
        env={**kept, **state, **model},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
