"""Holds: a killed `soa generate` is told by history, gone on with by resume, taken back by undo and gone."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from cli_runner import COMMAND, environment, soa
from killable import SHOP, answer, lay
from openai_server import Answer, OpenAIServer

STUCK = 6  # the request that is in flight when the process dies


class Story:
    """A workspace with a job that was killed at its sixth call."""

    def __init__(self, root: Path) -> None:
        self.root = lay(root)
        (root / "pyproject.toml").touch()
        self.server = OpenAIServer(self.answer)

    def answer(self, request: dict[str, Any]) -> Answer:
        held = len(self.server.requests) == STUCK
        return Answer("late", hold=threading.Event()) if held else answer(request)

    def soa(self, *args: str) -> subprocess.CompletedProcess[str]:
        return soa(*args, cwd=self.root, **self.env)

    @property
    def env(self) -> dict[str, str]:
        return {"OPENAI_BASE_URL": self.server.base_url, "SOA_MODEL": "m", "OPENAI_API_KEY": "sk-own"}

    def jobs(self) -> list[dict[str, Any]]:
        jobs: list[dict[str, Any]] = json.loads(self.soa("history", "--json").stdout)["jobs"]
        return jobs

    def kill_one(self) -> str:
        home = self.root.parent / f"{self.root.name}-home"
        command = [*COMMAND, "generate", "shop.py::total"]
        env = environment(home, **self.env)
        with subprocess.Popen(command, cwd=self.root, env=env, stderr=subprocess.DEVNULL) as job:
            assert self.server.wait(lambda: len(self.server.requests) == STUCK, 60)
            assert self.soa("history").stdout.splitlines()[1].split()[5] == "running"
            job.kill()
        return str(self.jobs()[0]["jobId"])


@pytest.fixture
def story(tmp_path: Path) -> Any:
    story = Story(tmp_path / "shop")
    with story.server:
        yield story


@pytest.mark.timeout(300)
def test_killed_resumed_applied_undone_and_forgotten(story: Story) -> None:
    job = story.kill_one()
    row = story.soa("history").stdout.splitlines()[1].split()
    assert (row[0], row[3:8]) == (job, ["generate", "shop.py::total", "interrupted", "3", "5"])
    assert f"Go on with soa resume {job}" in story.jobs()[0]["message"]

    done = story.soa("resume", "--apply", job[:6])
    assert done.returncode == 0, done.stderr
    assert len(story.server.requests) == STUCK + 3, "five replies were kept"
    assert "return amount - amount // 100" in (story.root / "shop.py").read_text()
    again = story.soa("resume", job)
    assert (again.returncode, "has ended (done)" in again.stderr) == (1, True)

    told = story.soa("history", job).stdout
    assert "_less   Child    code ✓ → tests ✓" in told.replace("├─ ", "").replace("└─ ", "")
    assert "  modify, round 1\n" in told
    assert "    -    return amount\n    +    return amount - amount // 100\n" in told
    whole = json.loads(story.soa("history", job, "--json").stdout)
    assert [(r["step"], r["round"]) for r in whole["revisions"] if r["agent"].endswith("_less")] == [
        ("code", 0),
        ("modify", 1),
    ]
    assert (whole["jobs"][0]["verdict"], len(whole["agents"])) == ("passed", 3)

    (story.root / "shop.py").write_text("import os\n" + (story.root / "shop.py").read_text())
    shown = story.soa("undo", job)
    assert (shown.returncode, shown.stdout.startswith("--- a/shop.py\n+++ b/shop.py\n")) == (0, True)
    undone = story.soa("undo", "--apply", job)
    assert undone.returncode == 0, undone.stderr
    assert (story.root / "shop.py").read_text() == f"import os\n{SHOP}"
    twice = story.soa("undo", "--apply", job)
    assert (twice.returncode, "nothing was taken back" in twice.stderr, twice.stdout) == (1, True, "")

    home = story.root.parent / f"{story.root.name}-home"
    kept = [path for path in home.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if b"sk-own" in path.read_bytes()]
    assert "Forgot 1 job" in story.soa("history", "--clear").stderr
    assert story.jobs() == []


NOTHING = {
    "history": (["history"], 0, "No job has run in this workspace yet"),
    "history of one": (["history", "ab"], 2, "ab is no job of this workspace"),
    "resume": (["resume", "ab"], 2, "ab is no job of this workspace"),
    "undo": (["undo", "ab"], 2, "ab is no job of this workspace"),
    "clear one": (["history", "ab", "--clear"], 2, "--clear stands alone"),
}


@pytest.mark.parametrize(("args", "code", "said"), NOTHING.values(), ids=NOTHING)
def test_where_nothing_ran(args: list[str], code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    done = soa(*args, cwd=tmp_path / "shop")
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert not (tmp_path / "shop-home").exists(), "looking leaves nothing behind"
