"""Many functions of a real project broken or blanked at once, restored by one command.

    python tests/bench/whole.py [blanked|broken] [--project P] [--functions N] [--wrong N] [--seed N] [--keep]

`blanked` runs `soa generate --all-stubs`, `broken` runs `soa fix`. The model is `tests/openai_server.py`: it
answers with the project's own sources, for some functions wrongly first. What is printed: functions
restored, the suite before and after, and the wall over that of one plain run of the suite, with the seconds
in which replies were under way taken off.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import whole
from e2e.real_projects import copy_of, run_tests
from e2e.texts import place_of, source_of
from openai_server import OpenAIServer, Request
from soa_agents.verify.mutations import mutate
from whole import Part

CODE = {  # the files that functions are taken from, and those of their tests
    "more-itertools": (("more_itertools/more.py", "more_itertools/recipes.py"), "tests/test_*.py"),
    "sqlparse": (("sqlparse/sql.py", "sqlparse/utils.py", "sqlparse/engine/grouping.py"), "tests/test_*.py"),
}


def parts_of(project: str, root: Path, count: int, chance: random.Random) -> list[Part]:
    """So many functions at random, each with a change that tests which name it notice."""
    files, tests = CODE[project]
    naming = dict(_tests(root, tests))
    candidates = [(path, name) for path in files for name in _exported((root / path).read_text())]
    chance.shuffle(candidates)
    found = list[Part]()
    for path, name in candidates:
        known = tuple(test for test, text in naming.items() if re.search(rf"\b{name}\b", text))
        part = _caught(project, root, Part(path, name), known[:40], chance)
        found += [part] if part else []
        if len(found) == count:
            return found
    raise SystemExit(f"{project} has only {len(found)} such functions")


def _exported(text: str) -> list[str]:
    """The public functions and methods of a module that have more than two statements."""
    body = ast.parse(text).body
    own = [("", node) for node in body]
    own += [(f"{each.name}.", node) for each in body if isinstance(each, ast.ClassDef) for node in each.body]
    return [
        prefix + node.name
        for prefix, node in own
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and len(node.body) > 2
    ]


def _tests(root: Path, pattern: str) -> Iterator[tuple[str, str]]:
    """Tests and classes of tests by node id, with their sources."""
    for file in sorted(root.glob(pattern)):
        text = file.read_text()
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield (
                    f"{file.relative_to(root).as_posix()}::{node.name}",
                    ast.get_source_segment(text, node) or "",
                )


def _quick(project: str, root: Path, tests: tuple[str, ...]) -> bool:
    """Whether the tests pass in a few seconds on the project as it is: slower ones measure the project."""
    try:
        return run_tests(project, root, ("-x", *tests), timeout=10)[0] == 0
    except subprocess.TimeoutExpired:
        return False


def _caught(
    project: str, root: Path, part: Part, tests: tuple[str, ...], chance: random.Random
) -> Part | None:
    path = root / part.path
    text = path.read_text()
    if not _quick(project, root, tests):
        return None
    for _ in range(3):
        changed = mutate(text, place_of(text, part.name).start + 1, chance, helpers=False)
        if changed is None:
            return None
        try:
            path.write_text(changed)
            code, _ = run_tests(project, root, ("-x", *tests), timeout=20)
        except subprocess.TimeoutExpired:
            code = 0
        finally:
            path.write_text(text)
        if code == 1:
            return Part(part.path, part.name, source_of(changed, part.name))
    return None


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One run: disturbed, restored, compared."""
    root, chance = copy_of(options.project, folder / options.project), random.Random(options.seed)
    parts = parts_of(options.project, root, options.functions, chance)
    texts = whole.read(root, parts)
    suite, before = timed_suite(options.project, root)
    disturbed = whole.blanked if options.how == "blanked" else whole.broken
    whole.write(root, disturbed(texts, parts))
    command = ["generate", "--all-stubs"] if options.how == "blanked" else ["fix"]
    with OpenAIServer(whole.answers(texts, parts[: options.wrong])) as server:
        began = time.monotonic()
        done = whole.soa([*command, "--apply"], root, folder / "home", server.base_url)
        wall = time.monotonic() - began
    if options.verbose or done.returncode:
        print(done.stderr, file=sys.stderr)
    again, after = timed_suite(options.project, root)
    asked = under_way(server.requests)
    return {
        "functions": len(parts),
        "restored": len(parts) - len(left := whole.left(root, texts, parts)),
        "left": left,
        "exit": done.returncode,
        "suite": {"before": before, "after": after},
        "calls": len(server.requests),
        "seconds": {"wall": round(wall, 1), "replies": round(asked, 1), "suite": [suite, again]},
        "ratio": round((wall - asked) / min(suite, again), 2),
    }


def timed_suite(project: str, root: Path) -> tuple[float, dict[str, int]]:
    """One plain run of the whole suite: its seconds, and what it counts."""
    began = time.monotonic()
    _, printed = run_tests(project, root, (), timeout=600)
    return round(time.monotonic() - began, 1), whole.outcomes(printed)


def under_way(requests: Sequence[Request]) -> float:
    """Seconds in which at least one reply was under way."""
    total, until = 0.0, 0.0
    for request in requests:  # in order of arrival
        ended = request.ended or request.time
        total += max(0.0, ended - max(request.time, until))
        until = max(until, ended)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("how", nargs="?", choices=["blanked", "broken"], default="blanked")
    parser.add_argument("--project", choices=list(CODE), default="more-itertools")
    parser.add_argument("--functions", type=int, default=30)
    parser.add_argument("--wrong", type=int, default=10, help="how many are answered wrongly first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="print what the command said")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options, Path(folder))
    print(json.dumps(figures, indent=1))
    sys.exit(
        figures["restored"] < figures["functions"] or figures["suite"]["before"] != figures["suite"]["after"]
    )


if __name__ == "__main__":
    main()
