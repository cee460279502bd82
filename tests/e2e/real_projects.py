"""Real projects to work on: pinned source distributions, fetched through pip once, and a private copy a run.

`copy_of("humanize", folder)` unpacks the project into `folder` and gives it an environment of its own in
`.venv`, as its developers would have: an interpreter, pytest with what the suite needs, and (where the code
lies under `src/`) the project itself, editable. Downloads stay in `.cache/` at the repository's root, so a
second run needs no network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "e2e"
SOURCES = HERE / "sources.txt"
REQUIREMENTS = HERE / "requirements.txt"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


@dataclass(frozen=True, slots=True)
class Project:
    """One project: where its code lies, and the arguments its tests are run with (`tests.args`)."""

    name: str
    code: str = "."  # folder that is put on the path, relative to the root
    args: tuple[str, ...] = ()
    bundled: bool = False  # lies in `projects/`; runs in the interpreter that runs these tests


PROJECTS = {
    p.name: p
    for p in (
        Project("more-itertools"),
        # Its benchmarks need a plugin whose only use is to measure; they prove nothing about the code.
        Project("humanize", "src", ("--ignore=tests/test_benchmarks.py",)),
        Project("sqlparse"),
        Project("async_shop", bundled=True),
    )
}


def copy_of(name: str, folder: Path) -> Path:
    """A private copy of the project in `folder`, which must not exist yet, ready to be tested; its root."""
    project = PROJECTS[name]
    if project.bundled:
        shutil.copytree(HERE / "projects" / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
        return folder
    archive = _archive(name)
    with tempfile.TemporaryDirectory(dir=folder.parent) as unpacked, tarfile.open(archive) as tar:
        tar.extractall(unpacked, filter="data")
        (root,) = Path(unpacked).iterdir()
        root.rename(folder)
    _environment(folder, project)
    return folder


def interpreter_of(name: str, folder: Path) -> Path:
    """The interpreter that runs the project's tests."""
    return Path(sys.executable) if PROJECTS[name].bundled else folder / ".venv" / "bin" / "python"


def run_tests(name: str, folder: Path, tests: tuple[str, ...], timeout: float = 120) -> tuple[int, str]:
    """Run `tests` as a person would: cold, in the project's folder. Returns exit code and output."""
    command = [
        str(interpreter_of(name, folder)),
        "-m",
        "pytest",
        "-q",
        "--tb=native",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, *PROJECTS[name].args, *tests],
        cwd=folder,
        env=_plain_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _plain_environment() -> dict[str, str]:
    """This process's, without what steers Python and pytest; no bytecode, as it can hide a quick change."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHON"))}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1"}


def _archive(name: str) -> Path:
    """The project's source distribution, from the cache or through pip."""
    (line,) = (text for text in SOURCES.read_text().splitlines() if text.startswith(f"{name}=="))
    kept = CACHE / "sources" / _digest(line)
    if not kept.is_dir():
        with _made_at(kept) as made:
            pinned = made.parent / "pinned.txt"
            pinned.write_text(line + "\n")
            _pip(
                "download", "--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", pinned, "-d", made
            )
    (archive,) = kept.glob("*.tar.gz")
    return archive


def _packages() -> Path:
    """A folder with what the suites import beside the projects themselves."""
    kept = CACHE / "packages" / _digest(REQUIREMENTS.read_text() + sys.version)
    if not kept.is_dir():
        with _made_at(kept) as made:
            _pip("install", "--no-deps", "--only-binary", ":all:", "-r", REQUIREMENTS, "--target", made)
    return kept


def _environment(folder: Path, project: Project) -> None:
    """A virtual environment in `.venv` that sees the shared packages and the code, as installed editable."""
    venv = folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=60)
    (site_packages,) = venv.glob("lib/python*/site-packages")
    (site_packages / "project.pth").write_text(f"{_packages()}\n{(folder / project.code).resolve()}\n")


def _pip(*arguments: str | Path) -> None:
    subprocess.run([*PIP, *arguments], check=True, timeout=300, stdin=subprocess.DEVNULL)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def _made_at(place: Path) -> Iterator[Path]:
    """A folder to fill; it is moved to `place` when it is complete, so that two runs can fill it at once."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=place.parent, prefix="making-", ignore_cleanup_errors=True
    ) as scratch:
        made = Path(scratch) / "made"
        yield made
        if not place.is_dir():
            made.rename(place)
