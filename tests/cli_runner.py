"""Running the real `soa` in a test: a bare environment, a home of its own, the bundled workspace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from soa_server.cli import place

COMMAND = (sys.executable, "-m", "soa_server.cli")


def environment(home: Path, **more: str) -> dict[str, str]:
    """No model, no colours, no settings of the person who runs the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    return {**kept, "HOME": str(home), "XDG_STATE_HOME": str(home / "state"), **more}


def soa(*args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; its home is beside the folder it runs in."""
    home = cwd.parent / f"{cwd.name}-home"
    return subprocess.run(
        [*COMMAND, *args],
        cwd=cwd,
        env=environment(home, **env),
        capture_output=True,
        text=True,
        timeout=90,
    )


def demo_workspace(into: Path) -> Path:
    """A copy of the bundled workspace."""
    folder = into / "shop"
    shutil.copytree(Path(place.__file__).parent / "demo_workspace", folder)
    return folder
