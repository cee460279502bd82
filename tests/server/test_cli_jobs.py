"""Whole jobs on the command line: real engine, real sandboxed tests, a model that answers from data."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cli_runner import COMMAND, demo_workspace, environment, soa
from openai_server import Answer, OpenAIServer, scripted
from soa_server.cli import replay

SLUG = "text/slug.py::slugify"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return demo_workspace(tmp_path)


def good() -> OpenAIServer:
    return OpenAIServer(scripted(replay.bundled().replies), models=("m",))


def texts(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*.py")}


def test_generate_prints_a_diff_that_git_applies_and_changes_nothing(folder: Path) -> None:
    before = texts(folder)
    with good() as model:
        done = soa("generate", SLUG, cwd=folder, OPENAI_BASE_URL=model.base_url, SOA_MODEL="m")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("--- a/text/slug.py\n+++ b/text/slug.py\n")
    assert "slugify passes 6 of 6 tests (4 before)." in done.stderr
    assert texts(folder) == before
    subprocess.run(["git", "apply", "-"], cwd=folder, input=done.stdout, text=True, check=True)
    assert "unicodedata.normalize" in (folder / "text/slug.py").read_text()


def test_apply_writes_it_and_ids_count_from_the_current_folder(folder: Path) -> None:
    before = texts(folder)
    with good() as model:
        env = {"OPENAI_BASE_URL": model.base_url, "SOA_MODEL": "m"}
        done = soa("generate", "--apply", "invoice.py::total_due", cwd=folder / "billing", **env)
    assert done.returncode == 0, done.stderr
    assert "Wrote billing/invoice.py." in done.stderr
    after = texts(folder)
    assert {path for path in after if after[path] != before[path]} == {"billing/invoice.py"}


def test_fix_finds_the_function_and_json_is_one_object(folder: Path) -> None:
    with good() as model:
        env = {"OPENAI_BASE_URL": model.base_url, "SOA_MODEL": "m"}
        done = soa("fix", "--json", "tests/test_slug.py", cwd=folder, **env)
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert (job["kind"], job["state"], job["verdict"]) == ("fix", "done", "passed")
    assert job["tests"]["after"] == {"passed": 6, "failed": 0}
    assert job["patch"].startswith("--- a/text/slug.py\n")


def test_stubs_are_written_from_a_docstring(folder: Path) -> None:
    with good() as model:
        env = {"OPENAI_BASE_URL": model.base_url, "SOA_MODEL": "m"}
        done = soa("stubs", "--apply", "shop/stock.py", cwd=folder, **env)
    assert done.returncode == 0, done.stderr
    listed = json.loads(soa("agents", "--stubs", "--json", "shop", cwd=folder).stdout)["agents"]
    assert [a["function"].partition("::")[2] for a in listed] == ["take_in", "sell", "running_low"]


def test_all_stubs_below_a_folder_are_one_job(folder: Path) -> None:
    with good() as model:
        env = {"OPENAI_BASE_URL": model.base_url, "SOA_MODEL": "m"}
        done = soa("generate", "--all-stubs", "--json", "billing", cwd=folder, **env)
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert (job["kind"], job["verdict"]) == ("implementFile", "passed")
    assert "_line_total" in job["patch"]


RED = {"*": {"*": ["```python\ndef slugify(title: str, limit: int = 40) -> str:\n    return title\n```"]}}
ENDINGS: dict[str, tuple[Mapping[str, Any], int, str]] = {
    "red": (RED, 1, "slugify"),
    "prose only": ({"*": {"*": ["I would rather not."]}}, 1, "slugify"),
}


@pytest.mark.parametrize(("replies", "code", "said"), ENDINGS.values(), ids=ENDINGS)
def test_what_is_not_proven_is_code_1_and_not_written(
    replies: Mapping[str, Any], code: int, said: str, folder: Path
) -> None:
    before = texts(folder)
    with OpenAIServer(scripted(replies)) as model:
        env = {"OPENAI_BASE_URL": model.base_url, "SOA_MODEL": "m"}
        done = soa("generate", "--apply", "--calls", "4", SLUG, cwd=folder, **env)
    assert done.returncode == code
    assert said in done.stderr
    assert texts(folder) == before


def test_a_refused_key_is_code_3(folder: Path) -> None:
    with OpenAIServer(scripted(RED), key="right") as model:
        env = {"OPENAI_BASE_URL": model.base_url, "SOA_MODEL": "m", "OPENAI_API_KEY": "wrong"}
        done = soa("generate", SLUG, cwd=folder, **env)
    assert done.returncode == 3
    assert "OPENAI_API_KEY" in done.stderr
    assert "wrong" not in done.stderr


def test_ctrl_c_cancels_once_and_says_so(folder: Path) -> None:
    before = texts(folder)
    never = threading.Event()
    with OpenAIServer(lambda request: Answer("late", hold=never)) as model:
        env = environment(folder.parent, OPENAI_BASE_URL=model.base_url, SOA_MODEL="m")
        with subprocess.Popen(
            [*COMMAND, "generate", SLUG], cwd=folder, env=env, stdout=-1, stderr=-1, text=True
        ) as job:
            assert model.wait(lambda: len(model.requests) == 1, 60)
            job.send_signal(signal.SIGINT)
            out, err = job.communicate(timeout=20)
        assert model.wait(lambda: model.requests[0].disconnected)
        never.set()
    assert job.returncode == 130
    assert "Cancelled" in err and "nothing was" in err
    assert out == ""
    assert texts(folder) == before


def test_doctor_names_what_would_be_used(folder: Path) -> None:
    (folder / "binary.py").write_bytes(b"\0")
    said = re.search(r"they would be read from ~/(\S+)\.$", soa("doctor", cwd=folder).stdout, re.MULTILINE)
    assert said
    own = folder.parent / f"{folder.name}-home" / said[1]
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("[limits]\ncalls = 0\n")
    with good() as model:
        env = {"OPENAI_BASE_URL": model.base_url, "SOA_MODEL": "m"}
        done = soa("doctor", cwd=folder, **env)
        assert model.requests == []
    assert done.returncode == 0
    lines = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()[1:-2]}
    assert {"model", "interpreter", "pytest", "sandbox", "git", "state"} <= lines.keys()
    assert lines["model"] == lines["interpreter"] == lines["pytest"] == lines["state"] == "ok"
    assert done.stdout.splitlines()[-1].startswith("Next: ")
    assert "1 unreadable or binary" in done.stdout
    assert f"are read from ~/{said[1]}." in done.stdout
    assert "soa.limits.calls in" in done.stderr


MISSING = {
    "no model": ({}, "!!  model", "Next: set OPENAI_API_KEY"),
    "nobody there": ({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "SOA_MODEL": "m"}, "!!  model", "Next: "),
}


@pytest.mark.parametrize(("env", "line", "todo"), MISSING.values(), ids=MISSING)
def test_doctor_ends_with_the_next_thing_to_do(
    env: dict[str, str], line: str, todo: str, folder: Path
) -> None:
    done = soa("doctor", cwd=folder, **env)
    assert done.returncode == 0
    assert line in done.stdout
    assert done.stdout.splitlines()[-1].startswith(todo)
