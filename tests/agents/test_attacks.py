"""No attack from inside the sandbox succeeds, at any level, whoever runs it; without a sandbox they do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import platformdirs
import psutil
import pytest
import soa_agents
from soa_agents.errors import NoSandbox
from soa_agents.verify import attacks, intrusions, probe
from soa_agents.verify.decoys import decoys
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.plan import REFUSED, Layer
from soa_agents.verify.sandbox import Command, jailed, run_briefly
from verify_place import asked, outcomes, own_python, runner, written

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the jail is built from Linux's own parts")
LEVELS: tuple[Layer, ...] = ("namespaces", "landlock")
NOBODY = 65534
TABLE = {**attacks.ATTACKS, **intrusions.INTRUSIONS}
MODULES = (attacks, intrusions)


@cache
def tried(level: Layer) -> probe.Tried:
    """All attacks, once, as whoever runs this; the secret is in the home."""
    return probe.attack(level, Path.home())


ORDINARY = """
import json, sys
from soa_agents.verify import probe
found = map(probe.attack, sys.argv[1:])
print(json.dumps([(tried.layers, tried.succeeded, tried.problem) for tried in found]))
"""


@cache
def tried_by_an_ordinary_user() -> dict[Layer, probe.Tried] | str:
    """The same as an ordinary user, with a Python and copies that all may read; or why it cannot be had."""
    if os.getuid() != 0:
        return "everything else here already runs as an ordinary user"
    python = next(
        (p for p in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3") if _may_run(p)), ""
    )
    if not python:
        return "no Python 3.11 or newer that an ordinary user may run"
    place = Path(tempfile.mkdtemp(prefix="soa-nobody-", dir="/var/tmp"))
    try:
        place.chmod(0o755)
        needed = (Path(str(module.__file__)).parent for module in (soa_agents, platformdirs, psutil))
        for package in needed:
            shutil.copytree(package, place / package.name, ignore=shutil.ignore_patterns("__pycache__"))
        (place / "home").mkdir()
        os.chown(place / "home", NOBODY, NOBODY)
        told = _as_nobody(python, ["-c", ORDINARY, *LEVELS], PYTHONPATH=str(place), HOME=str(place / "home"))
        assert told.returncode == 0, told.stderr
        found = [probe.Tried(tuple(a), tuple(b), c) for a, b, c in json.loads(told.stdout)]
        return dict(zip(LEVELS, found, strict=True))
    finally:
        shutil.rmtree(place)


def test_a_long_name_of_the_folder_for_temporary_files_hides_no_attack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert probe.attack("namespaces") == tried("namespaces")


def test_where_there_is_no_room_for_what_is_attacked_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/dev/full")
    with pytest.raises(NoSandbox, match="SoA cannot write to /dev/full"):
        probe.attack("namespaces")


def _may_run(python: str) -> bool:
    try:
        asked_for = _as_nobody(python, ["-c", "import sys; sys.exit(sys.version_info < (3, 11))"])
    except OSError:
        return False
    return asked_for.returncode == 0


def _as_nobody(python: str, arguments: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *arguments],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.defpath, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# What succeeds without a sandbox wherever these tests run: the table would be worth nothing if it did not.
OPEN = {
    *("reads a secret", "lists the secret's folder", "writes the secret", "plants a file beside the secret"),
    *("moves the secret", "writes through a symbolic link", "calls the loopback", "sends to the loopback"),
    *("calls a socket", "calls an abstract socket", "calls a socket beside what it may read", "signals"),
    *("sends to a socket", "limits others", "others' environment", "shared memory of System V"),
    *("reads others' shared memory", "writes where others share memory", "opens others' terminal"),
    *("gains rights", "memfd_create"),
}


def test_without_a_sandbox_attacks_succeed() -> None:
    assert not OPEN - set(tried("scrubbed").succeeded)


@pytest.mark.parametrize("attack", TABLE)
@pytest.mark.parametrize("level", LEVELS)
def test_an_attack_fails(level: Layer, attack: str) -> None:
    found = tried(level)
    if found.problem:
        pytest.skip(f"no {level} here: {found.problem}")
    assert attack not in found.succeeded


@pytest.mark.parametrize("attack", TABLE)
@pytest.mark.parametrize("level", LEVELS)
def test_an_attack_by_an_ordinary_user_fails(level: Layer, attack: str) -> None:
    found = tried_by_an_ordinary_user()
    if isinstance(found, str) or found[level].problem:
        pytest.skip(found if isinstance(found, str) else found[level].problem)
    assert attack not in found[level].succeeded


CANDIDATE = """def f():
    import attacks_, intrusions_, json, os, stat
    for number in range(3, 64):  # what the server holds open, the next candidate would find there
        try:
            if stat.S_ISREG(os.fstat(number).st_mode): os.write(number, b"planted")
        except OSError: pass
    return attacks_.run(json.load(open("aim")), {**attacks_.ATTACKS, **intrusions_.INTRUSIONS})
"""
HARMLESS = "def f():\n    x = {}\n    return x\n"
SERVED = {
    "code_.py": "def f():\n    return {}\n",
    "test_code.py": """import code_

KEPT = open("kept", "w+")


def test_f():
    KEPT.seek(0)
    assert KEPT.read() == ""
    assert code_.f() == {}
""",
}


async def test_a_candidate_in_a_test_server_reaches_nobody(tmp_path: Path) -> None:
    """Neither the machine nor the server, its memory and namespaces, or the next candidate."""
    if probe.probe().level != "namespaces":
        pytest.skip("test servers need user namespaces")
    root = written(tmp_path, SERVED)
    for module in MODULES:
        shutil.copyfile(str(module.__file__), root / f"{module.__name__.rpartition('.')[2]}_.py")
    test = asked("test_code.py::test_f")
    passed = {"test_code.py::test_f": "passed"}
    warm = Ladder(runner(root, seconds=60))
    with decoys(Path.home()) as put_up:
        (root / "aim").write_text(json.dumps(put_up.aim))
        try:
            for rung, text in (("swap", CANDIDATE), ("fresh", "print(end='')\n" + CANDIDATE)):
                found = await warm.run({"code_.py": text}, test)
                assert (found.rung, outcomes(found)) == (rung, passed), (found.refused, found)
                after = await warm.run({"code_.py": HARMLESS}, test)
                assert (after.rung, outcomes(after)) == ("swap", passed), after
        finally:
            await warm.close()
        assert put_up.seen() == ()
    assert {p.name for p in root.iterdir()} <= {
        *SERVED,
        "attacks_.py",
        "intrusions_.py",
        "aim",
        "__pycache__",
    }


# A server may make namespaces for its children; so may what it loads of a workspace, and attack from there.
FROM_A_NAMESPACE = """
import os, sys
sys.path.insert(0, ".")
import attacks_, intrusions_, json
user, group = os.getuid(), os.getgid()
assert intrusions_.LIBC.unshare(0x10020000) == 0  # user and mounts
for name, text in ("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1"):
    with open("/proc/self/" + name, "w") as file: file.write(text)
table = {**attacks_.ATTACKS, **intrusions_.INTRUSIONS}
del table["unshares"]
print(json.dumps(attacks_.run(json.load(open("aim")), table)))
"""


def test_what_a_test_server_may_do_reaches_nobody_either() -> None:
    if tried("namespaces").problem:
        pytest.skip(tried("namespaces").problem)
    with decoys(Path.home()) as put_up:
        files = {"aim": json.dumps(put_up.aim).encode()}
        files |= {f"{m.__name__.rpartition('.')[2]}_.py": Path(str(m.__file__)).read_bytes() for m in MODULES}
        arguments = ("-I", "-S", "-c", FROM_A_NAMESPACE)
        command = Command(own_python().path, arguments, put_up.tree, files, seconds=60, requests=0)
        done = run_briefly(command, "namespaces")
        assert put_up.seen() == ()
    got = json.loads(done.output.strip().rpartition("\n")[2])
    assert got == {"mounts": "b'tmpfs' on b'mounted'"}  # a file system of its own, in a namespace of its own


# Attacks on the machine's patience: what they do, and how the run must end. `MARK` names what they leave.
FORKS = """
import os, time
def bomb():
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)
bomb()
"""
STUBBORN = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(100)", "MARK"])
print("here", flush=True)
time.sleep(100)
"""
KILLS = """
import os, signal
for pid in (os.getppid(), 1, -1):
    try: os.kill(pid, signal.SIGKILL)
    except OSError: pass
os.killpg(0, signal.SIGKILL)
"""
PRETENDS = """
import os, signal
try: os.kill(1, signal.SIGTERM)
except OSError: pass
os.write(2, b"the sandbox could not be built: allow it")
os._exit(121)
"""
MEMORY = """
import os, time
for _ in range(3):
    if os.fork() == 0: break
kept = bytearray(100 << 20)
kept[::4096] = b"x" * len(kept[::4096])
time.sleep(100)
"""
HIDDEN = """
import mmap, time
for _ in range(3):
    shared = mmap.mmap(-1, 400 << 20)
    for place in range(0, len(shared), 1 << 20): shared[place:place + (1 << 20)] = b"x" * (1 << 20)
    shared.madvise(mmap.MADV_DONTNEED)
    globals()[f"kept{_}"] = shared
time.sleep(100)
"""
FILES = """
import os, time
data = b"x" * (1 << 20)
try:
    for number in range(40):
        with open(f"{number}", "wb") as file:
            for _ in range(40): file.write(data)
except OSError as problem:
    print("stopped:", problem.strerror)
else:
    time.sleep(100)
"""
SMALL_FILES = """
try:
    for number in range(300_000):
        open(f"/var/tmp/{number}", "w").close()
except OSError as problem:
    print("stopped:", problem.strerror)
"""
ENDINGS: dict[str, tuple[str, tuple[Layer, ...], str, str]] = {  # name -> program, levels, killed, printed
    "forks": (FORKS, LEVELS, "processes", ""),
    "ignores signals and leaves daemons": (STUBBORN, LEVELS, "time", "here"),
    "kills whom it can": (KILLS, LEVELS, "", ""),
    "pretends that there is no sandbox": (PRETENDS, LEVELS, "", ""),
    "memory in four processes": (MEMORY, LEVELS, "memory", ""),
    "memory that nobody has mapped": (HIDDEN, LEVELS, "memory", ""),
    "files on a disk": (FILES, ("landlock",), "files", ""),
    "files in memory": (FILES, ("namespaces",), "", "stopped:"),
    "small files": (SMALL_FILES, ("namespaces",), "", "stopped:"),
}
CASES = [(name, level) for name, (_, levels, _, _) in ENDINGS.items() for level in levels]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "tree").mkdir()
    yield tmp_path / "tree"
    assert list((tmp_path / "tree").iterdir()) == []


@pytest.mark.parametrize(("name", "level"), CASES, ids=lambda value: value)
async def test_a_flood_ends(name: str, level: Layer, folder: Path) -> None:
    if tried(level).problem:
        pytest.skip(tried(level).problem)
    program, _, killed, printed = ENDINGS[name]
    mark = f"soa-mark-{os.getpid()}"
    command = Command(
        own_python().path,
        ("-I", "-S", "-c", program.replace("MARK", mark)),
        folder,
        memory_mb=256,
        seconds=1.5 if killed == "time" else 60.0,
    )
    async with jailed(command, level) as running:
        async for _ in running.results():
            pass
        ended = await running.ended()
    assert ended.killed == killed, ended
    assert printed in ended.output
    assert ended.status != 0 or printed
    assert ended.status != REFUSED  # for this a person is asked to go without
    assert not [p for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or [])]
    assert not psutil.Process().children(recursive=True)
