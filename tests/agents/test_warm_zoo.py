"""Projects as they are: on each of them a test server and a cold run say the same of a candidate."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.report import Report, Selection
from soa_agents.workspace.ids import FunctionId
from verify_place import PROJECTS, project, runner

# Where examples are the project's own tests, and where pytest would import the file under a second name.
WITHOUT_EXAMPLES = ("doctest_modules", "namespace")
PLUGINS = ("settings_plugin",)  # pytest loads what lies in the workspace before any conftest
ZOO = sorted(path.name for path in (PROJECTS / "zoo").iterdir())


def code_and_tests(root: Path) -> tuple[str, tuple[str, ...]]:
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*.py")}
    (code,) = (name for name, path in files.items() if "class Scale" in path.read_text())
    tests = tuple(sorted(name for name in files if "test_" in Path(name).name or "_test" in Path(name).name))
    return code, tests


def said(report: Report) -> dict[str, object]:
    """Everything of a report but times."""
    results = {r.nodeid: (r.outcome, r.message, r.frames, r.output, r.doctest, r.ran) for r in report.results}
    return {"fault": report.fault, "problem": report.problem, **results}


@pytest.mark.parametrize("name", ZOO)
async def test_warm_and_cold_agree(name: str, tmp_path: Path) -> None:
    root = project(f"zoo/{name}", tmp_path)
    code, tests = code_and_tests(root)
    text = (root / code).read_text()
    helper = (
        "import math\n\n\ndef _twice(value):\n    return value * math.prod([2, 1]) + {more}\n\n\ndef double("
    )
    method = "\n    def _of(self, value):\n        return double(value) * self.factor\n"
    changed = text.replace("value * 2\n", "_twice(value)\n").replace(
        "double(value) * self.f", "self._of(value, self.f"
    )
    changed = changed.replace("self._of(value, self.factor", "self._of(value)") + method
    examples = () if name in WITHOUT_EXAMPLES else (FunctionId(code, "double"),)
    cold = runner(root)
    ladder = Ladder(cold)
    try:
        for more in (1, 0) if name == "flat" else (1,):
            candidate = changed.replace("def double(", helper.format(more=more))
            selection = Selection(tests, examples)
            warm = await ladder.run({code: candidate}, selection)
            assert warm.rung == "swap", warm.refused
            expected = said(await cold.run({code: candidate}, selection))
            assert said(warm) == expected
            assert any(r.outcome == "failed" for r in warm.tests) == bool(more)
        again = await ladder.run({code: candidate, "test_of_nothing.py": ""}, selection)
        assert again.rung == ("cold" if name in PLUGINS else "fresh"), again.refused
        assert said(again) == expected
    finally:
        await asyncio.shield(ladder.close())
