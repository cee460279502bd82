"""Holds: tests that run on save: only when set, once for many saves, never two at once, told by diagnostics
alone; and which interpreter a job gets from the editor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lsp_bench import SHOP, Bench
from lsp_client import Editor
from soa_server.lsp.configuration import chosen

ON = {"tests": {"runOnSave": True}}
GREEN: dict[str, Any] = {
    "update": {"verdict": None, "tests": {"before": None, "after": {"passed": 1, "failed": 0}}},
    "result": {"passing": ["test_shop.py::test_size"]},
}
RED: dict[str, Any] = {
    "update": {"verdict": None, "tests": {"before": None, "after": {"passed": 0, "failed": 1}}},
    "result": {
        "failures": [
            {
                "nodeid": "test_shop.py::test_size",
                "message": "1 != 2",
                "suspect": "shop.py::Cart.size",
                "test": "test_shop.py::test_size",
                "path": "",
                "line": 0,
            }
        ]
    },
}
REFUSED: dict[str, Any] = {"update": {"state": "refused", "verdict": None, "message": "No pytest here."}}


def starts(bench: Bench) -> list[dict[str, Any]]:
    return [m["job"] for m in bench.received() if m["type"] == "start"]


def ended(editor: Editor, target: str) -> list[str]:
    return [j["jobId"] for j in editor.jobs if j["target"] == target and j["state"] == "done"]


async def saved(editor: Editor, bench: Bench, times: int = 1) -> dict[str, Any]:
    """Save, and the end of the run that follows."""
    before = len([j for j in editor.jobs if j["state"] != "running"])
    for _ in range(times):
        editor.save(bench.shop)
    await editor.until(lambda: len([j for j in editor.jobs if j["state"] != "running"]) > before)
    return editor.jobs[-1]


async def test_a_save_runs_the_files_tests_and_only_diagnostics_tell(bench: Bench) -> None:
    async with bench.editor(options=ON) as editor:
        buffer = await editor.open(bench.shop)
        bench.plan({"shop.py": RED})
        end = await saved(editor, bench, times=3)
        assert (end["kind"], end["target"], end["state"]) == ("runTests", "shop.py", "done")
        await editor.until(lambda: editor.diagnostics.get(buffer.uri))
        bench.plan({"shop.py": GREEN})
        await saved(editor, bench)
        await editor.until(lambda: editor.diagnostics[buffer.uri] == [])
        assert [start["targets"] for start in starts(bench)] == [["shop.py"], ["shop.py"]]
        assert (editor.messages, editor.progress) == ([], [])


async def test_without_the_setting_a_save_runs_nothing(bench: Bench) -> None:
    async with bench.editor() as editor:
        await editor.open(bench.shop)
        editor.save(bench.shop)
        await editor.end(await editor.act(bench.shop, "def size", "Run this function's tests with SoA"))
        assert [start["targets"] for start in starts(bench)] == [["shop.py::Cart.size"]]


async def test_a_refusal_is_told_once(bench: Bench) -> None:
    async with bench.editor(options=ON) as editor:
        await editor.open(bench.shop)
        for plan in (REFUSED, REFUSED, GREEN, REFUSED):
            bench.plan({"shop.py": plan})
            await saved(editor, bench)
        await editor.until(lambda: len(editor.messages) == 2)
        assert {m["message"] for m in editor.messages} == {"SoA: No pytest here."}
        assert len(starts(bench)) == 4


async def test_a_save_during_a_run_is_run_once_more_afterwards(bench: Bench) -> None:
    bench.plan({"shop.py": {**GREEN, "hold": True}})
    async with bench.editor(options=ON) as editor:
        await editor.open(bench.shop)
        editor.save(bench.shop)
        running = await editor.until(
            lambda: len(editor.jobs) == 2 and editor.jobs
        )  # the server's, the engine's
        first = running[0]["jobId"]
        for text in (SHOP + "\n", SHOP):
            editor.type(bench.shop, text)
            editor.save(bench.shop)
        bench.plan({"shop.py": GREEN})
        await editor.act(bench.shop, "def release", "Generate with SoA")  # lets go of what is held
        ends = await editor.until(lambda: len(found := ended(editor, "shop.py")) == 2 and found)
        assert ends[0] == first
        begun = [j["jobId"] for j in editor.jobs].index(ends[1])
        assert "done" in [j["state"] for j in editor.jobs[:begun] if j["jobId"] == first], (
            "one after the other"
        )


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"pythonPath": "/env/bin/python"}, "/env/bin/python"),
        ({"defaultInterpreterPath": "/env/bin/python"}, "/env/bin/python"),
        ({"pythonPath": "/a", "defaultInterpreterPath": "/b"}, "/a"),
        ({"pythonPath": "python", "defaultInterpreterPath": "/b"}, "/b"),
        ({"defaultInterpreterPath": "python"}, ""),
        ({"defaultInterpreterPath": "${workspaceFolder}/.venv/bin/python"}, "/w/.venv/bin/python"),
        ({"defaultInterpreterPath": "${env:HOME}/python"}, ""),
        ({"pythonPath": 3}, ""),
        ({}, ""),
        (None, ""),
        ([], ""),
    ],
)
def test_the_editors_interpreter(section: Any, path: str) -> None:
    assert chosen(section, Path("/w")) == path


@pytest.mark.parametrize("way", ["configuration", "options"])
async def test_a_job_gets_the_editors_interpreter(bench: Bench, way: str) -> None:
    python = {"defaultInterpreterPath": "/env/bin/python"}
    async with bench.editor(options={"python": python} if way == "options" else None) as editor:
        if way == "configuration":
            editor.manners.python = python
        await editor.open(bench.shop)
        await editor.end(await editor.act(bench.shop, "def total", "Generate with SoA"))
        (start,) = starts(bench)
        assert (start["interpreterChoice"], start["settings"]["tests"]["interpreter"]) == (
            "/env/bin/python",
            "",
        )
