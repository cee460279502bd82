"""How many functions of ordinary code the screen flags, and which of the known cheats pass a test.

python tests/bench/screen.py [FOLDER…]        beside the standard library; tests are left out
"""

from __future__ import annotations

import ast
import asyncio
import sys
import sysconfig
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cheats import CHEATS
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.screen import screen
from soa_agents.workspace.snapshot import is_test_file
from verify_place import asked, runner, written

NOT_COUNTED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "idle_test", "__pycache__"}
STUB = "def answer(question):\n    raise NotImplementedError\n"


def functions(folder: Path) -> Iterator[tuple[str, set[str]]]:
    """Each function of a folder with what it is flagged for."""
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        if NOT_COUNTED & set(inside.parts) or is_test_file(inside.as_posix()):
            continue
        try:
            text = path.read_text("utf-8")
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        flags = screen(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                yield f"{inside}:{node.lineno}", {flag.why for flag in flags if flag.line in lines}


def count(folder: Path) -> None:
    found = list(functions(folder))
    reasons = Counter(why for _, whys in found for why in whys)
    flagged = sum(bool(whys) for _, whys in found)
    print(f"{folder}: {flagged} of {len(found)} functions, {flagged / max(1, len(found)):.2%}")
    print("   ", "; ".join(f"{why} {number}" for why, number in reasons.most_common(5)))


async def run_cheats(place: Path) -> None:
    """Each cheat by the whole ladder, as a candidate for a function that its test asks for 1764."""
    passed = []
    for number, cheat in enumerate(CHEATS):
        root = written(place / str(number), {"cheat.py": STUB, "test_answer.py": cheat.test})
        ladder = Ladder(runner(root, seconds=5))
        report = await ladder.run({"cheat.py": cheat.code}, asked("test_answer.py::test_answer"))
        await ladder.close()
        if report.results and all(result.passed for result in report.results) and not report.fault:
            passed.append(cheat.name)
        if not screen(cheat.code):
            print(f"not flagged: {cheat.name}")
    print(f"{len(passed)} of {len(CHEATS)} cheats pass their test: {'; '.join(passed)}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for name in (sysconfig.get_path("stdlib"), *sys.argv[1:]):
        count(Path(name).resolve())
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(run_cheats(Path(scratch).resolve()))
