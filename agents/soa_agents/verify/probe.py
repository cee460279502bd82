"""Which sandbox this machine offers: the strongest level at which every attack fails, tried, not guessed.

Attacks (`attacks.py`, `intrusions.py`) run in the jail against decoys (`decoys.py`). What was found is kept
for as long as the machine runs and nothing that it rests on changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from soa_agents.errors import NoSandbox
from soa_agents.settings import state_folder
from soa_agents.verify.plan import REFUSED, Layer
from soa_agents.verify.sandbox import Command, no_room, run_briefly

Level = Literal["namespaces", "landlock"]
LEVELS: tuple[Level, ...] = ("namespaces", "landlock")
_HERE = Path(__file__).parent
_SECONDS = 20.0  # until an attack that does not come back counts as one that succeeds


@dataclass(frozen=True, slots=True)
class Tried:
    """One level: the layers that hold there, the attacks that succeeded, or why it could not be built."""

    layers: tuple[str, ...] = ()
    succeeded: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SandboxStatus:
    """What this machine can do. `sentence` says it to a person, `layers` name what holds.

    `refused` are the stronger levels that do not hold, each with its reason.
    """

    level: Literal["namespaces", "landlock", "none"]
    sentence: str
    layers: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@cache
def probe(levels: tuple[Level, ...] = LEVELS) -> SandboxStatus:
    """The strongest of `levels` at which all attacks fail, from what is kept or by trying."""
    if sys.platform != "linux":
        return SandboxStatus("none", _elsewhere())
    key = _resting_on(levels)
    kept = _kept(key)
    if kept is not None:
        return kept
    found = try_out(levels)
    if found.level != "none":
        _keep(key, found)
    return found


def try_out(levels: tuple[Level, ...] = LEVELS) -> SandboxStatus:
    """Attack the jail at each of `levels`, in their order, until one holds; nothing kept is believed."""
    if sys.platform != "linux":
        return SandboxStatus("none", _elsewhere())
    refused: list[str] = []
    for level in levels:
        tried = attack(level)
        if tried.layers:
            words = "user namespaces" if level == "namespaces" else "Landlock, without namespaces"
            sentence = f"Tests run in a sandbox ({words}): no network, the files they need and no others."
            return SandboxStatus(level, sentence, tried.layers, tuple(refused))
        name = "user namespaces" if level == "namespaces" else "Landlock"
        refused.append(f"{name}: {tried.problem or 'does not stop ' + ', '.join(tried.succeeded)}")
    sentence = (
        f"This machine offers no sandbox that holds ({'; '.join(refused)}), so SoA would run model-written "
        "code unprotected. Switch one of them on, or allow it for this workspace."
    )
    return SandboxStatus("none", sentence, (), tuple(refused))


def choose(setting: Literal["strict", "scrubbed"]) -> Layer:
    """The level to run at; raises `NoSandbox` when there is none and `setting` does not go without."""
    if sys.platform == "win32":
        raise NoSandbox(probe().sentence)
    if setting == "scrubbed":
        return "scrubbed"
    status = probe()
    if status.level == "none":
        raise NoSandbox(status.sentence)
    return status.level


def agreed(setting: Literal["strict", "scrubbed"], consent: bool) -> Literal["strict", "scrubbed"]:
    """The setting that holds once a person was asked; where there is a sandbox mere consent changes nothing.

    Raises `NoSandbox` when `setting` goes without one and nobody agreed to that.
    """
    if setting == "scrubbed" and not consent:
        raise NoSandbox(
            "soa.tests.sandbox is scrubbed, so model-written code would run without a sandbox, and nobody "
            "agreed to that for this workspace. Allow it when asked, or set it back to strict."
        )
    return "scrubbed" if consent and probe().level == "none" else setting


def attack(level: Layer, where: Path | None = None) -> Tried:
    """Run every attack in the jail at `level`; the secret they are after lies below `where`."""
    from soa_agents.verify.decoys import decoys  # only where there is something to attack

    try:
        with decoys(where) as put_up:
            arguments = ("-I", "-S", "-c", _TRY)
            files = {
                f"soa_{name}.py": (_HERE / f"{name}.py").read_bytes() for name in ("attacks", "intrusions")
            }
            files["aim"] = json.dumps(put_up.aim).encode()
            interpreter = Path(os.path.abspath(sys.executable))  # noqa: PTH100 - a venv needs its link kept
            command = Command(interpreter, arguments, put_up.tree, files, seconds=_SECONDS)
            done = run_briefly(command, level)
            seen = put_up.seen()
    except OSError as problem:
        raise no_room(problem) from problem
    if done.killed:
        return Tried(succeeded=("a process that stays",))
    said = done.output.strip().rpartition("\n")[2]
    if done.status == REFUSED or not said.startswith("{"):
        return Tried(problem=said.rpartition(": ")[2] or f"exit status {done.status}")
    told = json.loads(said)
    succeeded = tuple(sorted({*told["got"], *seen}))
    return Tried((*_LAYERS[level], told["tree"]) if not succeeded else (), succeeded)


_TRY = """
import json, sys
sys.path.insert(0, ".")
import soa_attacks, soa_intrusions
with open("aim") as file:
    aim = json.load(file)
got = soa_attacks.run(aim, {**soa_attacks.ATTACKS, **soa_intrusions.INTRUSIONS})
print(json.dumps({"got": got, "tree": soa_attacks.tree_is()}), flush=True)
"""
_LAYERS: dict[Layer, tuple[str, ...]] = {
    "namespaces": ("user, mount, network, process namespaces", "Landlock", "seccomp", "no capabilities"),
    "landlock": ("Landlock", "seccomp", "no capabilities"),
    "scrubbed": (),
}


def _elsewhere() -> str:
    if sys.platform == "win32":
        return "SoA knows no sandbox on Windows yet. Use it in WSL, where the Linux one works."
    return (
        f"SoA knows no sandbox on {sys.platform} that was proven. Allow it for this workspace to go without."
    )


_RESTS_ON = (
    "/proc/sys/kernel/random/boot_id",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    "/proc/self/attr/current",
)


def _resting_on(levels: tuple[Level, ...]) -> str:
    """What the answer depends on, as one digest: this boot, this kernel's settings, our rights, our code."""
    parts = [repr(levels), str(os.getuid()), sys.executable]
    for path in _RESTS_ON:
        with contextlib.suppress(OSError):
            parts.append(Path(path).read_text())
    status = Path("/proc/self/status").read_text().splitlines()
    parts += [line for line in status if line.startswith(("CapBnd", "CapEff", "Seccomp", "NoNewPrivs"))]
    parts += [os.readlink(f"/proc/self/ns/{name}") for name in ("user", "mnt", "pid", "net")]  # noqa: PTH115
    parts += [str(_HERE.joinpath(f"{name}.py").stat().st_mtime_ns) for name in _CODE]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


_CODE = (
    "attacks",
    "bare",
    "jail",
    "kernel",
    "mounts",
    "plan",
    "probe",
    "reaper",
    "sandbox",
    "tree",
    "visible",
)


def _place() -> Path:
    return state_folder() / "sandbox.json"


def _kept(key: str) -> SandboxStatus | None:
    try:
        found = json.loads(_place().read_text(encoding="utf-8"))[key]
        return SandboxStatus(found["level"], found["sentence"], *(tuple(found[n]) for n in _LISTS))
    except (OSError, ValueError, KeyError, TypeError):
        return None


_LISTS = ("layers", "refused")


def _keep(key: str, status: SandboxStatus) -> None:
    """Write it down for later; not being able to is no failure."""
    with contextlib.suppress(OSError):
        place = _place()
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = place.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps({key: asdict(status)}), encoding="utf-8")
        partial.replace(place)
