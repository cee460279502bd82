"""Unpacks what `soa bench verify` is measured on: python tests/bench/verify_projects.py FOLDER [PYTHON]

Each gets an environment in `.venv` that sees the project and what a developer has installed: pytest with the
plugins of the requirements below. PYTHON is the interpreter to use, else the one that runs this script.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

SOURCES = Path(__file__).with_name("verify_sources.txt")
REQUIREMENTS = ("pytest==9.2.0", "anyio==4.9.0", "pytest-timeout==2.4.0", "pytest-xdist==3.8.0")
REQUIREMENTS += ("pytest-cov==7.1.0", "hypothesis==6.170.15", "freezegun==1.5.5")
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")


def main(folder: Path, python: str) -> None:
    """Fetch, unpack and equip every project."""
    folder.mkdir(parents=True, exist_ok=True)
    archives = folder / "archives"
    lines = [line for line in SOURCES.read_text().splitlines() if not line.startswith("#")]
    for line in lines:
        pinned = folder / "pinned.txt"
        pinned.write_text(line + "\n")
        if not list(archives.glob(line.partition("==")[0].replace("-", "_") + "-*")):
            download = ("download", "--no-deps", "--no-binary", ":all:", "--require-hashes")
            subprocess.run([sys.executable, *PIP, *download, "-r", pinned, "-d", archives], check=True)
    shared = folder / "environment"
    if not shared.is_dir():
        subprocess.run([python, "-m", "venv", shared], check=True)
        subprocess.run([shared / "bin/python", *PIP, "install", *REQUIREMENTS], check=True)
    for archive in sorted(archives.glob("*.tar.gz")):
        name = archive.name.rpartition("-")[0]
        if not (folder / name).is_dir():
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
            (folder / archive.name.removesuffix(".tar.gz")).rename(folder / name)
            _equip(folder / name, shared, archive.name.removesuffix(".tar.gz"))
        print(folder / name)


def _equip(project: Path, shared: Path, release: str) -> None:
    venv = project / ".venv"
    subprocess.run([shared / "bin/python", "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    (packages,) = shared.glob("lib/python*/site-packages")
    code = project / "src" if (project / "src").is_dir() else project
    (site / "project.pth").write_text(f"{packages}\n{code}\n")
    (site / f"{release}.dist-info").mkdir()  # some tests ask which version is installed
    shutil.copyfile(project / "PKG-INFO", site / f"{release}.dist-info" / "METADATA")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else sys.executable)
