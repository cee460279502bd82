"""Where the tests of verification run: copies of the small projects, runners over them."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from soa_agents.settings import Limits, TestSettings
from soa_agents.verify.cold import ColdRunner
from soa_agents.verify.interpreter import Interpreter, find
from soa_agents.verify.plan import Layer
from soa_agents.verify.report import Report, Selection, TestResult
from soa_agents.workspace.ids import FunctionId

PROJECTS = Path(__file__).parent / "data" / "verify"
EVERYTHING = Selection(everything=True)


def project(name: str, place: Path) -> Path:
    """A private copy of a small project."""
    return Path(shutil.copytree(PROJECTS / name, place / name, ignore=shutil.ignore_patterns("__pycache__")))


def written(place: Path, files: dict[str, str]) -> Path:
    """A project made of these files."""
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    return place


def environment(place: Path, *further: Path, with_pytest: bool = True) -> Path:
    """A virtual environment with this interpreter's packages or with none; `further` are import paths."""
    (place / "bin").mkdir(parents=True)
    (place / "bin/python").symlink_to(sys.executable)
    base = Path(sys.executable).resolve()
    (place / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    site = place / f"lib/python3.{sys.version_info.minor}/site-packages"
    site.mkdir(parents=True)
    shared = (Path(pytest.__file__).parents[1],) if with_pytest else ()
    (site / "shared.pth").write_text("".join(f"{path}\n" for path in (*shared, *further)))
    return place


@cache
def own_python() -> Interpreter:
    """The interpreter that runs these tests, or the one named in SOA_TEST_PYTHON, asked once."""
    return find(Path(__file__).parent, os.environ.get("SOA_TEST_PYTHON", sys.executable), {})


def runner(
    root: Path,
    *,
    seconds: float = 20.0,
    limits: Limits | None = None,
    args: tuple[str, ...] = (),
    level: Layer | None = None,
) -> ColdRunner:
    """A cold runner over `root`, at the machine's best level or at `level`."""
    settings = TestSettings(timeout_seconds=seconds, args=args)
    made = ColdRunner.open(root, own_python(), settings, limits or Limits())
    return made if level is None else replace(made, level=level)


def asked(*names: str) -> Selection:
    """A selection of node ids; a function's docstring example is written `doctest:path::name`."""
    tests = tuple(n for n in names if not n.startswith("doctest:"))
    examples = [n.removeprefix("doctest:") for n in names if n.startswith("doctest:")]
    return Selection(tests, tuple(FunctionId.parse(n) for n in examples))


def outcomes(report: Report) -> dict[str, str]:
    """Node id -> outcome."""
    return {result.nodeid: result.outcome for result in report.results}


def result(report: Report, nodeid: str) -> TestResult:
    """The one result of that node id."""
    return next(r for r in report.results if r.nodeid == nodeid)


def ran(found: TestResult) -> set[str]:
    """The functions that ran during a test, as text without their file."""
    return {function.qualname for function in found.ran}
