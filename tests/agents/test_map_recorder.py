"""The recorder tells what ran since it was last asked, on every Python that is at hand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from soa_agents.verify import recorder

SHOP = """
def plain():
    return [inner() for _ in range(100)]

def inner():
    return 1

def stream():
    yield from (1, 2)

class Cart:
    @property
    def total(self):
        return inner()

def held(work):
    return work()

def made():
    def late():
        return 1
    return late
"""
PLAY = """
import importlib.util, os, sys, threading
spec = importlib.util.spec_from_file_location("soa_recorder", sys.argv[1])
soa_recorder = importlib.util.module_from_spec(spec)
spec.loader.exec_module(soa_recorder)
shared = sys.argv[3] and os.path.join(sys.argv[2], sys.argv[3])
recorder = soa_recorder.Recorder(sys.argv[2], shared, os.getpid())
recorder.start()
sys.path.insert(0, sys.argv[2])
import shop
late = shop.made()
texts = list(enumerate(open(shop.__file__), 1))
names = {line: text.split("(")[0].split()[-1] for line, text in texts if "def " in text}
names.update({line: "total" for line, text in texts if "@property" in text})
def asked(work):
    recorder.take()
    meanwhile = work()
    told = recorder.take() | (meanwhile if isinstance(meanwhile, set) else set())
    return " ".join(sorted(names[line] for path, line in told))
def in_a_thread():
    thread = threading.Thread(target=shop.inner)
    thread.start()
    thread.join()
def forked():
    child = os.fork()
    if child == 0:
        shop.plain()
        os._exit(0)
    os.waitpid(child, 0)
for _ in range(3):
    for work in (shop.plain, shop.inner, lambda: list(shop.stream()), lambda: shop.Cart().total, late,
                 in_a_thread, lambda: None, shop.made, lambda: shop.held(recorder.take), forked):
        print(asked(work), end=";")
"""
EACH_ROUND = ("inner plain", "inner", "stream", "inner total", "late", "inner", "", "made", "held")
AT_HAND = {
    name: found
    for name in ("python3.9", "python3.10", "python3.12", "python3.13", "python3.14")
    if (found := shutil.which(name)) and "shims" not in found
}
AT_HAND |= {
    f"python{place.name}": str(place / "bin/python")
    for place in (Path.home() / ".pyenv/versions").glob("3.*")
    if tuple(map(int, place.name.split(".")[:2])) >= (3, 9)
}


def play(python: str, root: Path, shared: str) -> list[str]:
    (root / "shop.py").write_text(SHOP)
    command = [python, "-c", PLAY, recorder.__file__, str(root), shared]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.split(";")[:-1]


@pytest.mark.parametrize("name", [Path(sys.executable).name, *sorted(AT_HAND)])
def test_what_ran_since_the_last_question(name: str, tmp_path: Path) -> None:
    said = play(AT_HAND.get(name, sys.executable), tmp_path, "ran")
    size = len(EACH_ROUND) + 1
    for start in range(0, len(said), size):
        assert tuple(said[start : start + size - 1]) == EACH_ROUND
    # What a process that a test forked has run is told once: it may come from any of them.
    assert said[size - 1] == "inner plain"


def test_nothing_is_recorded_where_nobody_asks(tmp_path: Path) -> None:
    assert set(play(sys.executable, tmp_path, "")) == {""}
