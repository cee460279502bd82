"""The interpreter is found in the order that people expect and asked only inside the sandbox."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from pathlib import Path

import pytest
from soa_agents.errors import NoPytest
from soa_agents.verify.interpreter import find
from verify_place import environment, written


def test_the_order_is_setting_editor_active_folder_tools_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "repo/app"
    folder.mkdir(parents=True)
    (tmp_path / "repo/.git").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    digest = base64.urlsafe_b64encode(hashlib.sha256(os.fsencode(folder)).digest()).decode()[:8]
    own = find(folder, "", {})
    assert (own.path, own.pytest_version) == (Path(sys.executable), pytest.__version__)
    expected: list[Path] = []
    for place in (
        tmp_path / f"cache/pypoetry/virtualenvs/app-{digest}-py3.12",
        tmp_path / "repo/.venv",
        folder / "venv",
        folder / ".venv",
        tmp_path / "active",
    ):
        expected.append(environment(place) / "bin/python")
        environ = {"VIRTUAL_ENV": str(place)} if place.name == "active" else {}
        assert find(folder, "", environ).path == expected[-1]
    chosen = environment(tmp_path / "chosen") / "bin/python"
    environ = {"VIRTUAL_ENV": str(tmp_path / "active")}
    assert find(folder, "", environ, str(chosen)).path == chosen
    named = find(folder, "venv", environ, str(chosen))
    assert (named.path, named.why) == (folder / "venv/bin/python", "soa.tests.interpreter names it")
    assert named.version == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    ("setting", "environ"), [(".venv", {}), ("", {}), ("", {"CONDA_PREFIX": "/nowhere"})]
)
def test_a_missing_pytest_is_one_sentence(tmp_path: Path, setting: str, environ: dict[str, str]) -> None:
    environment(tmp_path / ".venv", with_pytest=False)
    with pytest.raises(NoPytest) as refused:
        find(tmp_path, setting, environ)
    assert str(refused.value) == (
        "pytest is not installed in .venv/bin/python, which runs this workspace's tests. "
        "Install it there, or set soa.tests.interpreter."
    )


def test_an_environment_without_pytest_gives_way_to_the_next(tmp_path: Path) -> None:
    environment(tmp_path / "active", with_pytest=False)
    environment(tmp_path / "app/.venv")
    found = find(tmp_path / "app", "", {"VIRTUAL_ENV": str(tmp_path / "active")})
    assert found.path == tmp_path / "app/.venv/bin/python"


@pytest.mark.parametrize("place", [".venv", "active"])
def test_an_environment_whose_python_is_gone_is_not_passed_over(tmp_path: Path, place: str) -> None:
    """After an upgrade of Python an environment's links lead nowhere; SoA's own would be a wrong one."""
    (environment(tmp_path / place) / "bin/python").unlink()
    (tmp_path / place / "bin/python").symlink_to(tmp_path / "python-that-was-removed")
    with pytest.raises(NoPytest, match=rf"{place}/bin/python, which runs .* does not start\. Repair it, or"):
        find(tmp_path, "", {"VIRTUAL_ENV": str(tmp_path / "active")})


@pytest.mark.parametrize("setting", ["nowhere/python", "/nowhere/python"])
def test_a_setting_that_names_nothing_is_one_sentence(tmp_path: Path, setting: str) -> None:
    with pytest.raises(
        NoPytest, match=r"but .*nowhere/python does not exist\. Correct soa\.tests\.interpreter\."
    ):
        find(tmp_path, setting, {})


def test_a_planted_interpreter_runs_only_inside_the_sandbox(tmp_path: Path) -> None:
    root = written(tmp_path / "app", {".venv/bin/python": f"#!/bin/sh\necho planted > {tmp_path}/planted\n"})
    (root / ".venv/bin/python").chmod(0o755)
    with pytest.raises(
        NoPytest, match=r"\.venv/bin/python, which runs this workspace's tests, does not start"
    ):
        find(root, "", {})
    assert not (tmp_path / "planted").exists()
