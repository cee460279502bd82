"""What the command line does with a finished job: what it prints, what it writes, and when it must not."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from soa_agents.patch import Edit, Patch, make_edit, make_patch
from soa_agents.settings import Settings
from soa_agents.swarm.assembly import assemble
from soa_agents.swarm.job import Flag, JobResult, JobUpdate, Tally, TestsChange
from soa_server.cli import jobs
from soa_server.cli.options import Output, Workspace

OLD = "def f():\r\n    ...\r\n"
NEW = "def f():\r\n    return 1\r\n"
PRINT = Output(apply=False, untested=False, branch=None, json=False)
APPLY = replace(PRINT, apply=True)

_EDIT = make_edit(OLD, Edit("app.py", OLD.index("..."), OLD.index("...") + 3, "return 1", "target", "f"))
PASSED = JobResult(
    JobUpdate("j", "generate", "app.py::f", "done", "passed", tests=TestsChange(Tally(4, 0), Tally(0, 4))),
    make_patch([_EDIT]),
    {"app.py": OLD},
    "apply",
)
UNTESTED = replace(PASSED, update=replace(PASSED.update, verdict="untested", tests=None), offer="preview")
FLAGGED = replace(
    PASSED,
    update=replace(PASSED.update, flags=(Flag(2, "reads its caller's frame"),)),
    offer="preview",
    exit_code=1,
)
RED = replace(
    PASSED, update=replace(PASSED.update, state="failed", verdict="failed"), offer="keep", exit_code=1
)
PART = replace(PASSED, update=replace(PASSED.update, kind="implementFile", verdict="failed"), exit_code=1)
CANCELLED = replace(RED, update=replace(RED.update, state="cancelled", verdict=None), exit_code=130)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "app.py").write_bytes(OLD.encode())
    return Workspace(tmp_path, tmp_path, Settings(), sandbox_consent=False)


CASES = {
    # name: (result, output, exit code, is it written, a part of what stderr says)
    "only printed": (PASSED, PRINT, 0, False, "f passes 4 of 4 tests (0 before)."),
    "applied": (PASSED, APPLY, 0, True, "Wrote app.py."),
    "untested, applied": (UNTESTED, APPLY, 0, False, "Add --untested"),
    "untested, wanted": (UNTESTED, replace(APPLY, untested=True), 0, True, "Wrote app.py."),
    "flagged": (FLAGGED, APPLY, 1, False, "line 2 (reads its caller's frame)"),
    "flagged, untested wanted": (FLAGGED, replace(APPLY, untested=True), 1, False, "may fool"),
    "red": (RED, APPLY, 1, False, "best so far"),
    "only a part passed": (PART, APPLY, 1, True, "Wrote app.py."),
    "cancelled": (CANCELLED, APPLY, 130, False, "best so far"),
}


@pytest.mark.parametrize(("result", "output", "code", "written", "said"), CASES.values(), ids=CASES)
def test_a_result_is_written_only_when_it_may_be(
    workspace: Workspace,
    capsys: pytest.CaptureFixture[str],
    result: JobResult,
    output: Output,
    code: int,
    written: bool,
    said: str,
) -> None:
    assert jobs.finish(workspace, output, result, 1) == code
    assert (workspace.root / "app.py").read_bytes() == (NEW if written else OLD).encode()
    shown = capsys.readouterr()
    assert said in shown.err
    assert "+    return 1" in shown.out


def test_a_file_edited_meanwhile_is_left_alone(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace.root / "app.py").write_text("# mine\n" + OLD)
    assert jobs.finish(workspace, APPLY, PASSED, 1) == 1
    assert (workspace.root / "app.py").read_text().startswith("# mine")
    assert "changed while SoA worked" in capsys.readouterr().err


def test_where_one_file_cannot_be_written_none_is(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file stands where a new one's folder would be."""
    (workspace.root / "tests").write_text("no folder")
    new = assemble.tests_patch("tests/test_f_soa.py", None, "def test_f():\n    assert True\n")
    both = replace(UNTESTED, patch=Patch((_EDIT, *new.edits), new.created))
    assert jobs.finish(workspace, replace(APPLY, untested=True), both, 1) == 1
    assert (workspace.root / "app.py").read_bytes() == OLD.encode()
    shown = capsys.readouterr()
    assert "tests/test_f_soa.py cannot be written" in shown.err
    assert "+    return 1" in shown.out


@pytest.mark.parametrize(
    "result", [PASSED, RED, JobResult(RED.update, exit_code=1)], ids=["passed", "red", "no patch"]
)
def test_json_is_one_object_and_nothing_else(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], result: JobResult
) -> None:
    code = jobs.finish(workspace, replace(PRINT, json=True), result, 1)
    printed = json.loads(capsys.readouterr().out)
    assert code == result.exit_code
    assert printed["jobId"] == "j"
    assert printed["state"] == result.update.state
    assert printed["patch"].startswith("--- a/app.py\n") is bool(result.patch.edits)


def test_a_branch_gets_the_result_and_the_files_stay(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    def git(*args: str) -> str:
        identity = ["-c", "user.name=N", "-c", "user.email=n@example.org", "-c", "core.autocrlf=false"]
        command = ["git", *identity, *args]
        return subprocess.run(command, cwd=workspace.root, check=True, capture_output=True, text=True).stdout

    git("init", "-q", "-b", "main")
    git("add", "app.py")
    git("commit", "-qm", "start")
    output = replace(PRINT, branch="soa/f")
    assert jobs.finish(workspace, output, PASSED, 1) == 0
    assert "return 1" in git("show", "soa/f:app.py")
    assert git("status", "--porcelain") == ""
    assert git("branch", "--show-current").strip() == "main"
    assert jobs.finish(workspace, output, PASSED, 1) == 1
    assert "exists already" in capsys.readouterr().err
