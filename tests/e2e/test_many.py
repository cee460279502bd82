"""Five functions of one project at once, blanked or broken, by the command against a scripted server.

Two call another one of them, one hangs in a way that cannot be interrupted, one is answered wrongly first.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import whole
from e2e.texts import source_of
from openai_server import OpenAIServer, scripted
from whole import Part

PATH = "shop.py"
TEXT = '''"""A shop."""

import time


def parse(line):
    """The price and the count of a line like "3 x 2"."""
    price, count = line.split(" x ")
    return int(price), int(count)


def total(lines):
    """What all lines cost together."""
    found = [parse(line) for line in lines]
    return sum(price * count for price, count in found)


class Cart:
    """Lines of one customer."""

    def __init__(self, lines):
        self.lines = lines

    def sum(self):
        """What the cart costs, postage of 5 included."""
        goods = total(self.lines)
        return goods + 5


def halves(number):
    """How often a number can be halved before it is less than 1."""
    times = 0
    while number >= 1:
        number /= 2
        times += 1
    return times


def label(name):
    """The name in capitals."""
    name = name.strip()
    return name.upper()
'''
TESTS = """from shop import Cart, halves, label, parse, total


def test_parse():
    assert parse("3 x 2") == (3, 2)


def test_total():
    assert total(["3 x 2", "1 x 1"]) == 7
    assert total([]) == 0


def test_cart():
    assert Cart(["3 x 2"]).sum() == 11


def test_halves():
    assert halves(8) == 4


def test_label():
    assert label(" ann ") == "ANN"
"""
STUCK = '''def halves(number):
    """How often a number can be halved before it is less than 1."""
    while number:
        try:
            time.sleep(60)
        except BaseException:
            pass'''


def wrong(name: str, old: str, new: str) -> Part:
    source = source_of(TEXT, name)
    assert old in source
    return Part(PATH, name, source.replace(old, new))


PARTS = (
    wrong("parse", "int(count)", "0"),
    wrong("total", "price * count", "price - count"),
    wrong("Cart.sum", "+ 5", "- 5"),
    Part(PATH, "halves", STUCK),
    wrong("label", "upper", "lower"),
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)
    (root / PATH).write_text(TEXT)
    (root / "tests/test_shop.py").write_text(TESTS)
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\npythonpath = ['.']\n")
    return root


def answered(root: Path, home: Path, arguments: list[str], texts: dict[str, str]) -> dict[str, Any]:
    """The last words of a job whose model knows the project; it is wrong about the last part at first."""
    config = home / ".config/soa-language-server"
    config.mkdir(parents=True)
    (config / "config.toml").write_text("[tests]\ntimeoutSeconds = 1\n")
    with OpenAIServer(whole.answers(texts, PARTS[4:])) as server:
        done = whole.soa([*arguments, "--json"], root, home, server.base_url)
    assert done.returncode == 0, done.stderr
    last: dict[str, Any] = json.loads(done.stdout)
    assert (last["verdict"], last["tests"]["after"]) == ("passed", {"passed": 5, "failed": 0})
    return last


def passes(root: Path) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == 0


def test_five_stubs_are_one_patch_and_nothing_is_written_before(project: Path, tmp_path: Path) -> None:
    texts = whole.read(project, PARTS)
    blanked = whole.blanked(texts, PARTS)
    whole.write(project, blanked)
    last = answered(project, tmp_path / "home", ["generate", "--all-stubs"], texts)
    assert whole.read(project, PARTS) == blanked
    subprocess.run(["git", "apply", "-"], cwd=project, input=last["patch"], text=True, check=True)
    assert whole.left(project, texts, PARTS) == []
    assert passes(project)


def test_five_broken_functions_are_mended_though_one_hangs(project: Path, tmp_path: Path) -> None:
    texts = whole.read(project, PARTS)
    whole.write(project, whole.broken(texts, PARTS))
    answered(project, tmp_path / "home", ["fix", "--apply"], texts)
    assert whole.left(project, texts, PARTS) == []
    assert passes(project)


GREETING = '''def name(line):
    """The first word."""
    return line.split()[0]


def letters(line):
    """How many letters the first word has."""
    return len(name(line))


def both(line):
    """How many letters the first word has, and the last word."""
    return [letters(line), line.split()[-1]]
'''
GREETING_TESTS = """from greeting import both, letters, name


def test_name():
    assert name("ann lee") == "ann"


def test_letters():
    assert letters("ann lee") == 3


def test_both():
    assert both("ann lee") == [3, "lee"]
"""
HALF = "def both(line):\n    return [letters(line), line]"


@pytest.mark.parametrize(
    ("replies", "fixed"),
    [([HALF, source_of(GREETING, "both")], True), ([HALF, HALF + "[:2]", HALF + "[:3]"], False)],
)
def test_a_test_that_runs_two_broken_functions_is_first_held_against_the_worse(
    tmp_path: Path, replies: list[str], fixed: bool
) -> None:
    root, home = tmp_path / "project", tmp_path / "home"
    root.mkdir()
    broken = GREETING.replace("[0]", "[1]").replace("[-1]]", "[0]]")
    for path, text in {"greeting.py": broken, "test_greeting.py": GREETING_TESTS}.items():
        (root / path).write_text(text)
    script = {
        "greeting.py::name": {"code": [fenced(source_of(GREETING, "name"))]},
        "greeting.py::both": {"code": [fenced(each) for each in replies]},
    }
    with OpenAIServer(scripted(script)) as server:
        done = whole.soa(["fix", "--json", "--protocol", "single"], root, home, server.base_url)
        asked = [request.target.partition("::")[2] for request in server.requests]
    last = json.loads(done.stdout)
    assert (asked.count("name"), asked.count("both")) == (1, len(replies)), (
        "the one that is right is left alone"
    )
    assert (last["verdict"] == "passed", "+    return line.split()[0]" in last["patch"]) == (fixed, True)


LAYERS = '''def first(line):
    """The first word."""
    return line.split()[0]


def initials(line):
    """The first letter of the first word, in capitals."""
    return first(line)[0].upper()


def shout(line):
    """The first word in capitals, with a mark."""
    return first(line).upper() + "!"


def double(n):
    """Twice."""
    return 2 * n
'''
LAYERS_TESTS = """from layers import double, first, initials, shout


def test_first():
    assert first("ann lee") == "ann"


def test_initials():
    assert initials("ann lee") == "A"


def test_shout():
    assert shout("ann lee") == "ANN!"


def test_double():
    assert double(2) == 4
"""


def test_a_fault_that_another_one_hides_is_mended_and_what_has_none_is_left(tmp_path: Path) -> None:
    """`first` raises, so every test but one points at it; `initials` is wrong besides, `shout` is not."""
    root, home = tmp_path / "project", tmp_path / "home"
    root.mkdir()
    broken = LAYERS
    for right, wrong in (("[0]\n", "[5]\n"), ("upper()\n", "lower()\n"), ("2 * n", "n")):
        broken = broken.replace(right, wrong)
    for path, text in {"layers.py": broken, "test_layers.py": LAYERS_TESTS}.items():
        (root / path).write_text(text)
    script = {
        f"layers.py::{name}": {"skeleton": [fenced(source_of(LAYERS, name))]}
        for name in ("first", "initials", "double")
    }
    with OpenAIServer(scripted(script)) as server:
        done = whole.soa(["fix", "--apply", "--protocol", "mother_child"], root, home, server.base_url)
        asked = sorted(request.target.partition("::")[2] for request in server.requests)
    assert (done.returncode, asked) == (0, ["double", "first", "initials"]), done.stderr
    assert (root / "layers.py").read_text() == LAYERS
    assert "3 of 3 functions pass 4 of 4 tests" in done.stderr, done.stderr


EXAMPLE = '''def twice(n):
    """Twice."""
    return 2 * n


def through(n):
    """As `twice`."""
    return twice(n)


def more(n):
    """One more than twice.

    >>> more(2)
    5
    """
    return through(n) + 1
'''
EXAMPLE_TESTS = """from example import more, twice


def test_twice():
    assert twice(2) == 4


def test_more():
    assert more(0) == 1
"""


def test_an_example_counts_as_the_last_run_of_all_saw_it(tmp_path: Path) -> None:
    """That of `more` fails as long as `twice` is not in place, which only the run of both has."""
    root, home = tmp_path / "project", tmp_path / "home"
    root.mkdir()
    broken = EXAMPLE.replace("2 * n", "n").replace("+ 1", "+ 2")
    for path, text in {"example.py": broken, "test_example.py": EXAMPLE_TESTS}.items():
        (root / path).write_text(text)
    right = {name: fenced(source_of(EXAMPLE, name)) for name in ("twice", "more")}
    script = {
        "example.py::twice": {"skeleton": [right["twice"]]},
        "example.py::more": {"skeleton": [right["more"]], "feedback": ["Look."], "modify": [right["more"]]},
    }
    with OpenAIServer(scripted(script)) as server:
        done = whole.soa(["fix", "--apply", "--protocol", "mother_child"], root, home, server.base_url)
    assert (done.returncode, (root / "example.py").read_text()) == (0, EXAMPLE), done.stderr
    assert "still fails" not in done.stderr, done.stderr


def fenced(source: str) -> str:
    return f"```python\n{source}\n```"
