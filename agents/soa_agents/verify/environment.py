"""The environment of a test run: what tests need, by name; never keys."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

_KEPT = frozenset(
    {"PATH", "LANG", "LANGUAGE", "TZ", "TERM", "COLUMNS", "LINES", "LD_LIBRARY_PATH"}
    | {"VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV"}
    | {"PYTHONPATH", "PYTHONHASHSEED", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONWARNINGS", "PYTHONDEVMODE"}
)
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)


def allowed(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of `environ` that test runs may see."""
    return {
        name: value
        for name, value in environ.items()
        if (name in _KEPT or name.startswith("LC_")) and not _SECRET.search(name)
    }


def for_tests(environ: Mapping[str, str], interpreter: Path, own: str, user_base: str = "") -> dict[str, str]:
    """The whole environment: `own` is where home and the plugin are as the run sees them.

    A virtual environment is active for its own tests, as in the person's terminal.
    """
    result = allowed(environ)
    inherited = [p for p in result.get("PYTHONPATH", "").split(os.pathsep) if Path(p).is_absolute()]
    result["PYTHONPATH"] = os.pathsep.join([f"{own}/lib", *inherited])
    result["HOME"] = f"{own}/home"
    if user_base:
        result["PYTHONUSERBASE"] = user_base
    path = result.get("PATH", os.defpath)
    folder = interpreter.parent
    if (folder.parent / "pyvenv.cfg").is_file():
        result["VIRTUAL_ENV"] = str(folder.parent)
        path = os.pathsep.join([str(folder), path])
    result["PATH"] = path
    return result
