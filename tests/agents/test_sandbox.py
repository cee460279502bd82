"""The sandbox stops what hostile tests try, lets honest ones work, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import psutil
import pytest
from soa_agents.errors import NoSandbox
from soa_agents.verify import macos, probe, sandbox, windows
from soa_agents.verify.environment import allowed
from soa_agents.verify.plan import Layer
from soa_agents.verify.visible import interpreter_files, surroundings
from verify_place import EVERYTHING, environment, outcomes, own_python, project, runner, written

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the jail is built from Linux's own parts")
LEVELS: tuple[Layer, ...] = ("namespaces", "landlock")


@contextmanager
def host(place: Path) -> Iterator[dict[str, object]]:
    """What attacks aim at: a secret in the home, listening sockets, this very process."""
    with ExitStack() as stack:
        secret = Path.home() / f".soa-test-secret-{os.getpid()}"
        secret.write_text("secret")
        stack.callback(secret.unlink)
        near = Path(tempfile.mkdtemp(prefix="soa-test-"))
        stack.callback(shutil.rmtree, near)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        for name in (str(near / "s"), f"\0soa-test-{os.getpid()}"):
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(name)
            listening.listen()
        yield {
            "secret": str(secret),
            "port": tcp.getsockname()[1],
            "socket": str(near / "s"),
            "abstract": f"soa-test-{os.getpid()}",
            "pid": os.getpid(),
            "marker": f"soa-left-behind-{os.getpid()}",
        }


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for temporary files of this test alone."""
    place = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return place


# What each level cannot offer: behind Landlock alone there are no sockets and no terminals.
UNAVAILABLE = {
    "namespaces": set[str](),
    "landlock": {"test_own_server_works", "test_terminal_can_be_opened"},
}


@pytest.mark.parametrize("level", LEVELS)
def test_attacks_are_stopped_and_honest_tests_work(
    tmp_path: Path, temporary: Path, level: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOA_TEST_KEY", "do not tell")
    root = project("hostile", tmp_path)
    with host(tmp_path) as aim:
        (root / "tests/attack.json").write_text(json.dumps(aim))
        before = tree(root)
        report = asyncio.run(runner(root, level=level).run({}, EVERYTHING))
        left = [p.pid for p in psutil.process_iter(["cmdline"]) if aim["marker"] in (p.info["cmdline"] or [])]
    assert report.problem == ""
    red = {r.nodeid.partition("::")[2]: r.message for r in report.results if not r.passed}
    assert set(red) == UNAVAILABLE[level], red
    assert len(report.results) > 20
    assert (left, tree(root)) == ([], before)
    assert not list(temporary.glob("soa-*/plan.json"))


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_endless_output_is_cut(tmp_path: Path) -> None:
    text = (
        "import os\ndef test_x(capfd):\n    with capfd.disabled():\n"
        "        for _ in range(2000): os.write(1, b'x' * 65536)\n"
    )
    report = asyncio.run(runner(written(tmp_path, {"test_x.py": text})).run({}, EVERYTHING))
    assert outcomes(report) == {"test_x.py::test_x": "passed"}


def test_the_engines_death_ends_the_run(tmp_path: Path, temporary: Path) -> None:
    marker = f"soa-orphan-{os.getpid()}"
    text = f"import time\ndef test_x():\n    open({marker!r}, 'w'); time.sleep(60)\n"
    root = written(tmp_path, {"test_x.py": text})
    program = (
        "import asyncio, sys, threading\nsys.path.insert(0, sys.argv[1])\nfrom pathlib import Path\n"
        "from verify_place import EVERYTHING, runner\n"
        "for _ in range(30): threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "asyncio.run(runner(Path(sys.argv[2]), seconds=60).run({}, EVERYTHING))\n"
    )
    engine = psutil.Popen([sys.executable, "-c", program, str(Path(__file__).parents[1]), str(root)])
    family: dict[psutil.Process, list[str]] = {}
    while not any("-m" in words and "pytest" in words for words in family.values()):
        assert engine.poll() is None
        family = running(engine)
    engine.kill()
    engine.wait()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive
    assert not list(temporary.iterdir())


def test_a_launcher_that_dies_while_it_starts_a_run_leaves_nobody_waiting(tmp_path: Path) -> None:
    """Killed as soon as it has a child, twelve times: the child waits for its word then."""
    root = written(tmp_path, {"test_x.py": "import time\ndef test_x():\n    time.sleep(60)\n"})

    async def killed() -> list[psutil.Process]:
        run = asyncio.ensure_future(runner(root, seconds=60).run({}, EVERYTHING))
        found: list[psutil.Process] = []
        while len(found) < 2 and not run.done():
            await asyncio.sleep(0)
            found = psutil.Process().children(recursive=True)
        for launcher in psutil.Process().children():
            launcher.kill()
        await asyncio.gather(run, return_exceptions=True)
        return found

    left = [process for _ in range(12) for process in asyncio.run(killed())]
    _, alive = psutil.wait_procs(left, timeout=5)
    for process in alive:
        process.kill()
    assert not alive


def running(process: psutil.Process) -> dict[psutil.Process, list[str]]:
    """What it started, with their command lines; nothing when one of them ends meanwhile."""
    try:
        return {each: words for each in process.children(recursive=True) if (words := each.cmdline())}
    except psutil.Error:
        return {}


PROJECT = {
    "pkg.py": "def f():\n    return 1\n",
    "test_pkg.py": "import pkg\ndef test_f():\n    open('beside', 'w').close()\n    assert pkg.f() == 2\n",
}
AS_NOBODY = """
import os, sys
os.setgid(65534); os.setgroups([]); os.setuid(65534)
os.environ["HOME"] = sys.argv[1] + "/home"
sys.path[:0] = sys.argv[3:]
import asyncio
from pathlib import Path
from soa_agents.settings import Limits, TestSettings
from soa_agents.verify import interpreter, probe
from soa_agents.verify.cold import ColdRunner
from soa_agents.verify.report import Selection
from soa_agents.verify.tree import copy_tree, linked
from soa_agents.workspace.snapshot import Snapshot, open_folders
root = Path(sys.argv[1]) / "project"
found = interpreter.Interpreter(Path(sys.executable), "", "", "")
runner = ColdRunner.open(root, found, TestSettings(), Limits())
report = asyncio.run(runner.run({"pkg.py": "def f():\\n    return 2\\n"}, Selection(everything=True)))
listed = [file.path for file in Snapshot(open_folders([root])).python_files().files]
assert listed == ["pkg.py", "test_pkg.py"], listed
assert linked(root) == (root / ".venv",), linked(root)
copy_tree(root, root.parent / "copy")
assert sorted(os.listdir(root.parent / "copy")) == [".venv", "pkg.py", "pytest.ini", "test_pkg.py"]
print(probe.probe().level, [r.outcome for r in report.results], report)
"""


BIG = ("mypy*", "*mypyc*", "openai*", "ruff*", "pip*", "hypothesis*", "aiohttp*", "pydantic*", "setuptools*")


@pytest.mark.skipif(os.getuid() != 0, reason="everything else here already runs as an ordinary user")
def test_an_ordinary_user_has_the_same_sandbox() -> None:
    """With a Python and copies of the libraries that all may read, and a folder that nobody may enter."""
    python = shutil.which("python3", path="/usr/bin")
    if python is None or not _same_version(python):
        pytest.skip("no other Python of this version that an ordinary user may run")
    place = Path(tempfile.mkdtemp(prefix="soa-nobody-", dir="/var/tmp"))
    try:
        locked = {"locked/a.py": "x = 1\n", "pytest.ini": "[pytest]\nnorecursedirs = locked\n"}
        written(place / "project", PROJECT | locked)
        (place / "project/.venv/conda-meta").mkdir(parents=True)
        (place / "project/locked").chmod(0)
        site = Path(pytest.__file__).parents[1]
        user_site = place / f"home/.local/lib/python3.{sys.version_info.minor}/site-packages"
        left_out = shutil.ignore_patterns(*BIG, "__pycache__", "*.pth")
        shutil.copytree(site, user_site, ignore=left_out)
        shutil.copytree(Path(sandbox.__file__).parents[1], place / "agents/soa_agents")
        subprocess.run(["chown", "-R", "65534:65534", str(place)], check=True)
        arguments = [str(place), "", str(place / "agents"), str(user_site)]
        done = subprocess.run(
            [python, "-c", AS_NOBODY, *arguments],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout.startswith("namespaces ['passed']"), done.stdout + done.stderr
        assert not (place / "project/beside").exists()
    finally:
        shutil.rmtree(place)


def _same_version(python: str) -> bool:
    asked = [python, "-c", "import sys; print(sys.version_info[:2])"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == str(
        sys.version_info[:2]
    )


def test_the_environment_is_an_allow_list_without_keys() -> None:
    given = {
        "PATH": "p",
        "LC_ALL": "C",
        "OPENAI_API_KEY": "k",
        "LC_SECRET": "s",
        "AWS_TOKEN": "t",
        "EDITOR": "e",
    }
    assert allowed(given) == {"PATH": "p", "LC_ALL": "C"}


def test_probe_says_what_holds() -> None:
    status = probe.probe()
    assert status.level in ("namespaces", "landlock", "none")
    assert bool(status.layers) == (status.level != "none")
    assert status.sentence.endswith(".")


def test_without_namespaces_landlock_is_found() -> None:
    """The second level is really tried, and holds on its own, wherever the attacks below hold it to that."""
    assert probe.probe(("landlock",)).level == "landlock"


def test_an_interpreter_named_by_a_roundabout_path_is_no_reason_to_go_without() -> None:
    """`../bin/python` is the same program, in the jail too."""
    folder = Path(sys.executable).parent
    program = f"../{folder.name}/{Path(sys.executable).name}"
    ask = "from soa_agents.verify import probe; print(probe.probe().level)"
    said = subprocess.run(
        [program, "-c", ask], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.strip() == probe.probe().level


@pytest.mark.parametrize("level", ["landlock", "scrubbed"])
def test_a_private_copy_is_written_never_the_tree(tmp_path: Path, level: Layer) -> None:
    root = written(tmp_path / "p", PROJECT)
    report = asyncio.run(runner(root, level=level).run({"pkg.py": "def f():\n    return 2\n"}, EVERYTHING))
    assert outcomes(report) == {"test_pkg.py::test_f": "passed"}, report
    assert not (root / "beside").exists()


@pytest.mark.parametrize("level", ["namespaces", "landlock", "scrubbed"])
def test_an_editable_install_leads_to_the_candidate(tmp_path: Path, level: Layer) -> None:
    test = "import pkg, subprocess, sys\ndef test_f():\n    assert pkg.f() == 2\n"
    test += "    subprocess.run([sys.executable, '-c', 'import pkg; assert pkg.f() == 2'], check=True)\n"
    root = written(tmp_path / "p", {"src/pkg.py": PROJECT["pkg.py"], "tests/test_pkg.py": test})
    python = replace(own_python(), path=environment(root / ".venv", root / "src") / "bin/python")
    cold = replace(runner(root, level=level), interpreter=python)
    report = asyncio.run(cold.run({"src/pkg.py": "def f():\n    return 2\n"}, EVERYTHING))
    assert outcomes(report) == {"tests/test_pkg.py::test_f": "passed"}, report
    assert {f.path for r in report.results for f in r.ran} == {"src/pkg.py"}


@pytest.mark.parametrize("level", ["namespaces", "landlock", "scrubbed"])
def test_a_process_that_detaches_itself_does_not_outlive_the_run(tmp_path: Path, level: Layer) -> None:
    marker = f"soa-daemon-{level}-{os.getpid()}"
    text = (
        "import os, sys\ndef test_x():\n    if os.fork() == 0:\n        os.setsid()\n"
        "        if os.fork() == 0:\n"
        f"            program = ['-c', 'import time; time.sleep(60)', '{marker}']\n"
        "            os.execv(sys.executable, [sys.executable, *program])\n"
        "        os._exit(0)\n"
    )
    asyncio.run(runner(written(tmp_path, {"test_x.py": text}), level=level).run({}, EVERYTHING))
    assert not [p for p in psutil.process_iter(["cmdline"]) if marker in (p.info["cmdline"] or [])]


def test_an_interpreter_shows_its_prefixes_and_never_the_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    base = home / ".pyenv/versions/3.12"
    for place in (base / "lib/python3.12/os.py", base / "bin/python3.12", home / "secret"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    venv, sibling = tmp_path / "app/.venv", tmp_path / "sibling"
    site = venv / "lib/python3.12/site-packages"
    for folder in (venv / "bin", site, sibling):
        folder.mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text(f"home = {base}/bin\n")
    (venv / "bin/python").symlink_to(base / "bin/python3.12")
    (site / "editable.pth").write_text(f"{sibling}\n{home}\nimport os\n")
    (site / "__editable___x_finder.py").write_text(f"MAPPING: dict = {{'x': '{sibling}/src'}}\n")
    (sibling / "src").mkdir()
    (home / "bin").mkdir()
    (home / "bin/python").symlink_to(venv / "bin/python")
    visible = interpreter_files(home / "bin/python", home)
    assert set(visible.paths) == {str(venv), str(base), str(sibling), str(sibling / "src")}
    assert (str(home / "bin/python"), str(venv / "bin/python")) in visible.links


def test_a_folder_inside_a_repository_sees_its_configuration_and_history(tmp_path: Path) -> None:
    app = tmp_path / "repo/packages/app"
    app.mkdir(parents=True)
    (tmp_path / "repo/.git").mkdir()
    (tmp_path / "repo/pyproject.toml").touch()
    (tmp_path / "repo/secret.env").touch()
    assert set(surroundings(app, tmp_path)) == {
        str(tmp_path / "repo/.git"),
        str(tmp_path / "repo/pyproject.toml"),
    }


WITHOUT = {  # setting, consent, what the machine has -> the level that is used, or what a person is told
    ("strict", False, "namespaces"): "namespaces",
    ("strict", True, "namespaces"): "namespaces",
    ("strict", True, "landlock"): "landlock",
    ("strict", False, "none"): "offers no sandbox",
    ("strict", True, "none"): "scrubbed",
    ("scrubbed", False, "namespaces"): "nobody agreed",
    ("scrubbed", True, "namespaces"): "scrubbed",
    ("scrubbed", True, "none"): "scrubbed",
}


@pytest.mark.parametrize("case", WITHOUT, ids=str)
def test_without_a_sandbox_only_a_person_can_allow_it(
    case: tuple[Literal["strict", "scrubbed"], bool, Literal["namespaces", "landlock", "none"]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting, consent, level = case
    status = probe.SandboxStatus(level, "This machine offers no sandbox.")
    monkeypatch.setattr(probe, "probe", lambda: status)
    try:
        used = probe.choose(probe.agreed(setting, consent))
    except NoSandbox as problem:
        assert WITHOUT[case] in str(problem)
    else:
        assert used == WITHOUT[case]


def test_what_the_probe_found_is_kept_until_something_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept for this boot, kernel, user and code; a kept answer costs no process."""
    monkeypatch.setattr(probe, "state_folder", lambda: tmp_path)
    levels: list[str] = []

    def attack(level: str) -> probe.Tried:
        levels.append(level)
        return probe.Tried(("a layer",)) if level == "landlock" else probe.Tried(succeeded=("mounts",))

    monkeypatch.setattr(probe, "attack", attack)
    first, again = probe.probe.__wrapped__(), probe.probe.__wrapped__()
    assert first == again
    assert (first.level, first.refused) == ("landlock", ("user namespaces: does not stop mounts",))
    assert levels == ["namespaces", "landlock"]
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    probe.probe.__wrapped__()
    assert len(levels) == 4


def test_a_level_that_an_attack_beats_is_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "state_folder", lambda: tmp_path)
    monkeypatch.setattr(probe, "attack", lambda level: probe.Tried(succeeded=("traces",)))
    found = probe.probe.__wrapped__()
    assert (found.level, found.layers) == ("none", ())
    assert "user namespaces: does not stop traces; Landlock: does not stop traces" in found.sentence
    assert list(tmp_path.iterdir()) == []  # looked at again: somebody may switch one on


def test_an_older_landlock_has_the_calls_refused_that_it_does_not_see() -> None:
    """On such a kernel: nobody outside, and as it cannot tell, nobody inside is signalled."""
    program = (
        "import fcntl, os, sys\n"
        "from soa_agents.verify import bare, kernel\n"
        "victim = os.getppid()\n"
        "reading, writing = os.pipe()\n"
        "kernel.seccomp(bare.refused(int(sys.argv[1])))\n"
        "def tried(call, *arguments):\n"
        "    try: call(*arguments)\n"
        "    except OSError as problem: return problem.errno\n"
        "print(tried(os.kill, victim, 0), tried(fcntl.fcntl, reading, fcntl.F_SETOWN, victim),\n"
        "      tried(fcntl.fcntl, reading, fcntl.F_GETFL))\n"
    )
    said = {
        version: subprocess.run(
            [sys.executable, "-c", program, version], capture_output=True, text=True, check=False
        )
        for version in ("2", "4", "6")
    }
    assert "too old to keep files whole" in said["2"].stderr
    assert (said["4"].stdout, said["6"].stdout) == ("1 1 None\n", "None None None\n")


def test_profiles_of_other_systems_name_what_they_close() -> None:
    """Nobody has run them: this holds what they say, not that it works."""
    text = macos.profile(['/Users/a "b"\\c'], ["/private/tmp/run"])
    assert text.startswith("(version 1)\n(deny default)\n")
    assert '(allow file-read* (subpath "/Users/a \\"b\\"\\\\c"))' in text
    assert text.count("file-write*") == 1
    assert '(allow file-write* (subpath "/private/tmp/run"))' in text
    assert "(deny network*)" in text
    assert "(allow network" not in text
    assert text.count("(") == text.count(")")
    assert macos.command(("python", "-m", "pytest"), [], [])[::2] == (
        macos.PROGRAM,
        macos.profile([], []),
        "-m",
    )
    with pytest.raises(ValueError, match="cannot be named"):
        macos.profile(["/a\n(allow default)"], [])


def test_a_job_object_bounds_memory_processes_and_life() -> None:
    (kind, limits), (ui, restrictions) = windows.settings(memory_mb=256, processes=64)
    assert (kind, ui, restrictions) == (9, 4, bytes([0xFF, 0, 0, 0]))
    assert len(limits) == 144  # as winnt.h lays it out on 64 bits
    flags, processes = struct.unpack_from("=I", limits, 16)[0], struct.unpack_from("=I", limits, 40)[0]
    assert (flags, processes, struct.unpack_from("=Q", limits, 120)[0]) == (0x2608, 64, 256 << 20)
