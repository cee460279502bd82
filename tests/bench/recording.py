"""What it costs to record which functions tests run: python tests/bench/recording.py FOLDER PYTHON [TESTS…]

Processor time of pytest alone, with SoA's plugin, and with the plugin recording, in turns, without a sandbox.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from soa_agents.verify import plan

ROUNDS = 3
MODES = ("plain", "plugin", "recording")
REQUEST = {
    "root": ".",
    "wanted": None,
    "without": [],
    "doctests": {},
    "seconds": 60,
    "cap": 4000,
    "loaded": True,
}


def once(mode: str, lib: Path, command: list[str], folder: Path) -> float:
    """Seconds of processor time of one run."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    env["PYTHONPATH"] = str(lib)
    with Path(os.devnull).open("wb") as nowhere:
        if mode != "plain":
            env["SOA_RESULTS"] = str(nowhere.fileno())
            env["SOA_RAN"] = str(lib / "ran") if mode == "recording" else ""
            command = [*command, "-p", plan.PLUGIN]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = subprocess.run(
            command, cwd=folder, env=env, stdout=subprocess.DEVNULL, pass_fds=[nowhere.fileno()]
        )
    if ran.returncode not in (0, 1):  # green or red: anything else ran no tests
        sys.exit(f"pytest ended with status {ran.returncode} ({mode}).")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main(folder: Path, python: str, tests: list[str]) -> None:
    """Measure and print."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    with tempfile.TemporaryDirectory() as place:
        lib = Path(place)
        for source in Path(plan.__file__).parent.glob("*.py"):
            shutil.copyfile(source, lib / f"soa_{source.name}")
        (lib / "soa_plugin.py").rename(lib / f"{plan.PLUGIN}.py")
        (lib / plan.REQUEST).write_text(json.dumps(REQUEST))
        once("plain", lib, command, folder)
        took: dict[str, list[float]] = {mode: [] for mode in MODES}
        for turn in range(ROUNDS):
            for mode in MODES[turn:] + MODES[:turn]:
                took[mode].append(once(mode, lib, command, folder))
    median = {mode: statistics.median(values) for mode, values in took.items()}
    for mode in MODES:
        print(f"{folder.name} {mode:10} {median[mode]:6.2f} s  {median[mode] / median['plain']:.2f} ×")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3:])
