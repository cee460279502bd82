"""Byte code that is kept between runs: it is used, it is that of the sources, nobody can put in another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from soa_agents.settings import Limits
from soa_agents.verify.cold import ColdRunner
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.plan import Layer
from soa_agents.verify.probe import probe
from soa_agents.verify.report import Report
from verify_place import EVERYTHING, asked, outcomes, runner, written

BIG = (
    "".join(f"def f{number}(value):\n    return value + {number}\n\n\n" for number in range(9)) + "#" * 60_000
)
# A test sees the flags of the byte code that importing will read; 3 is a hash that is checked (PEP 552).
TESTS = """import importlib.util, pathlib

PYC = pathlib.Path(importlib.util.cache_from_source(str(pathlib.Path(__file__).with_name("big.py"))))
FLAGS = PYC.read_bytes()[4] if PYC.exists() else None

import big

def test_value(): assert big.f1(1) == 2
def test_kept(): assert FLAGS == 3
def test_none(): assert FLAGS is None
"""
VALUE, KEPT, NONE = (f"test_big.py::test_{name}" for name in ("value", "kept", "none"))
LEVELS = [level for level in ("namespaces", "landlock") if level == "landlock" or probe().level == level]


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/soa-language-server/bytecode"


def big(place: Path, **files: str) -> Path:
    return written(place / "project", {"big.py": BIG, "test_big.py": TESTS, **files})


def green(report: Report) -> set[str]:
    return {name for name, outcome in outcomes(report).items() if outcome == "passed"}


@pytest.mark.parametrize("level", LEVELS)
async def test_the_second_run_reads_what_was_compiled_and_the_folder_stays_as_it_was(
    tmp_path: Path, level: Layer
) -> None:
    root = big(tmp_path)
    cold = runner(root, level=level)
    assert green(await cold.run({}, EVERYTHING)) == {VALUE, NONE}
    assert green(await cold.run({}, EVERYTHING)) == {VALUE, KEPT}
    other = {"big.py": BIG.replace("value + 1\n", "value + 9\n")}  # a candidate's is taken away
    assert green(await cold.run(other, EVERYTHING)) == {NONE}
    (root / "big.py").write_text(other["big.py"])  # saved: nothing old is believed, then it is compiled anew
    assert green(await cold.run({}, EVERYTHING)) == {KEPT}
    assert green(await runner(root, level=level).run({}, EVERYTHING)) == {KEPT}
    assert sorted(path.name for path in root.iterdir()) == ["big.py", "test_big.py"]


@pytest.mark.skipif(probe().level != "namespaces", reason="test servers need user namespaces")
async def test_servers_and_their_candidates_read_it_too(tmp_path: Path) -> None:
    root = big(tmp_path)
    ladder = Ladder(runner(root))
    try:
        await ladder.run({}, EVERYTHING)
        found = await ladder.run({"big.py": BIG.replace("value + 5\n", "value + 6\n")}, asked(VALUE, KEPT))
        assert (found.rung, green(found)) == ("swap", {VALUE, KEPT})
    finally:
        await ladder.close()


def noted(caches: Path) -> set[str]:
    return {name for notes in caches.glob("*.json") for name in json.loads(notes.read_text())}


POISON = """
import importlib._bootstrap_external as outer, importlib.util, os, pathlib, sys
here = pathlib.Path(__file__).parent
text = (here / "big.py").read_text()
code = compile(text.replace("return value + 1\\n", "return 'poisoned'\\n"), str(here / "big.py"), "exec")
right = importlib.util.source_hash(text.encode())
cache = pathlib.Path(importlib.util.cache_from_source(str(here / "big.py")))
cache.parent.mkdir(exist_ok=True)
cache.write_bytes(outer._code_to_hash_pyc(code, right, checked=True))
for place in ("/soa", "{caches}"):
    for folder, _, names in os.walk(place):
        for name in names:
            try: pathlib.Path(folder, name).write_bytes(cache.read_bytes())
            except OSError: pass
module = type(sys)("evil")
for name in ("../outside.py", "/etc/passwd.py", "big.py/../../outside.py", "link.py", "no.py", "\\0.py"):
    other = sys.modules[name] = type(sys)(name)
    other.__spec__ = importlib.util.spec_from_file_location(name, str(here / "big.py"))
    other.__spec__.origin = str(here) + "/" + name
"""


async def test_nobody_changes_what_a_later_run_loads(tmp_path: Path, caches: Path) -> None:
    """Unchanged code and a candidate write byte code with the right hash wherever they can, and name
    files that are not the folder's.
    """
    poison = POISON.replace("{caches}", str(caches))
    (tmp_path / "outside.py").write_text(BIG)
    root = big(tmp_path, **{"helper.py": poison, "conftest.py": "import helper\n"})
    (root / "link.py").symlink_to(tmp_path / "outside.py")
    cold = runner(root)
    first = await cold.run({}, EVERYTHING)
    assert VALUE not in green(first)  # there it did work, in that run alone
    (root / "conftest.py").unlink()
    assert green(await cold.run({}, EVERYTHING)) == {VALUE, KEPT}
    await cold.run({"conftest.py": "import helper\n"}, EVERYTHING)
    assert green(await runner(root).run({}, EVERYTHING)) == {VALUE, KEPT}
    assert noted(caches) <= {"big.py", "helper.py", "test_big.py"}


async def test_folders_that_are_gone_do_not_come_back_with_their_byte_code(
    tmp_path: Path, caches: Path
) -> None:
    see = "import importlib.util\n\ndef test_gone():\n    assert importlib.util.find_spec('part') is None\n"
    root = big(tmp_path, **{"part/__init__.py": "", "part/more.py": BIG, "test_see.py": see})
    (root / "conftest.py").write_text("import part.more\n")
    cold = runner(root)
    await cold.run({}, EVERYTHING)
    await cold.run({}, EVERYTHING)
    assert "part/more.py" in noted(caches)
    for path in (root / "conftest.py", root / "part/more.py", root / "part/__init__.py"):
        path.unlink()
    (root / "part").rmdir()
    assert "test_see.py::test_gone" in green(await cold.run({}, EVERYTHING))


async def test_a_cache_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = big(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cold = ColdRunner.open(root, runner(root).interpreter, runner(root).settings, Limits())
    for _ in range(2):
        assert green(await cold.run({}, EVERYTHING)) == {VALUE, NONE}


async def test_outside_the_sandbox_nothing_is_kept(tmp_path: Path) -> None:
    root = big(tmp_path)
    cold = runner(root, level="scrubbed")
    assert cold.bytecode is not None
    cold = replace(cold, bytecode=replace(cold.bytecode, level="scrubbed"))
    for _ in range(2):
        assert green(await cold.run({}, EVERYTHING)) == {VALUE, NONE}
