"""What reading a workspace costs, beside what Python's own parser costs on the same files.

    python tests/bench/workspace.py [FOLDER]        without a folder: the standard library

CPU time of this process; within one run the ratios are what counts.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from soa_agents.workspace.callgraph import CallGraph
from soa_agents.workspace.functions import Function, dedented, functions
from soa_agents.workspace.glance import glance
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.index import scan
from soa_agents.workspace.mapping import agents_map
from soa_agents.workspace.reaching import tests_reaching
from soa_agents.workspace.reading import file_facts, parsed_facts
from soa_agents.workspace.snapshot import Snapshot, open_folders

Result = TypeVar("Result")
TESTS = 5000  # of the generated file
SAMPLE = 200  # functions whose tests are looked up
OWN_PARSER = "ast.parse + ast.walk"


def timed(action: Callable[[], Result]) -> tuple[float, Result]:
    start = time.process_time()
    result = action()
    return time.process_time() - start, result


def show(what: str, seconds: float, base: float, of: str = OWN_PARSER) -> None:
    print(f"{what:<46} {seconds:9.4f} s   {seconds / base:8.3f} x {of}")


def walked(text: str) -> int:
    return sum(1 for _ in ast.walk(ast.parse(text)))


def readable(texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    for path, text in texts.items():
        try:
            ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        yield path, text


def files(texts: dict[str, str]) -> None:
    """Whole files, one after the other."""
    base, _ = timed(lambda: [walked(text) for text in texts.values()])
    show(OWN_PARSER, base, base)
    show("functions()", timed(lambda: [functions(p, t) for p, t in texts.items()])[0], base)
    show("file_facts()", timed(lambda: [file_facts(p, t) for p, t in texts.items()])[0], base)
    parser, facts = timed(lambda: {p: parsed_facts(p, t) for p, t in texts.items()})
    show("parsed_facts()", parser, base)
    seen = {p: glance(p, t) for p, t in texts.items()}
    doubtful = [p for p, each in seen.items() if each is None]
    other = [p for p, each in seen.items() if each is not None and each != facts[p]]
    print(
        f"a glance: {len(doubtful)} files in doubt, {len(other)} told otherwise by the parser: {other[:20]}"
    )


def one_file(texts: dict[str, str]) -> None:
    """A file of many tests, and the functions of the longest file."""
    tests = "\n".join(f"class Test{n}:\n    def test_{n}(self):\n        assert {n}\n" for n in range(TESTS))
    base, _ = timed(lambda: walked(tests))
    show(f"functions() of a file of {TESTS} tests", timed(lambda: functions("many.py", tests))[0], base)
    text = max(texts.values(), key=len)
    base, _ = timed(lambda: walked(text))
    inner: list[Function] = [f for f in functions("long.py", text) if f.indent]
    spent, _ = timed(lambda: [dedented(text, function) for function in inner])
    show(f"dedented(), one of {len(inner)} in the longest file", spent / max(1, len(inner)), base)
    again, _ = timed(lambda: functions("long.py", text))
    show("functions() of the longest file once more", again, base)


def index(root: Path, lines: int) -> None:
    """The index of the folder, and what is asked of it."""
    snapshot = Snapshot(open_folders([root]))
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch) / "index.sqlite"
        cold, facts = timed(lambda: scan(snapshot, cache))
        warm, _ = timed(lambda: scan(snapshot, cache))
    show("scan(), cold", cold, cold, f"cold: {cold / lines * 100_000:.2f} s for 100,000 lines")
    show("scan(), nothing changed", warm, cold, "cold")
    made, graph = timed(lambda: CallGraph(facts))
    show("CallGraph()", made, cold, "cold")
    code = {path: each for path, each in facts.items() if not each.is_test}
    known = [FunctionId(path, f.qualname) for path, each in code.items() for f in each.functions]
    first, _ = timed(lambda: tests_reaching(graph, known[0]))
    sample = known[:: max(1, len(known) // SAMPLE)]
    spent, _ = timed(lambda: [tests_reaching(graph, function) for function in sample])
    show("tests_reaching(), the first", first, cold, "cold")
    show(f"tests_reaching(), one of {len(sample)}", spent / len(sample), cold, "cold")
    show(f"agents_map() of {len(known)} functions", timed(lambda: agents_map(graph))[0], cold, "cold")


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_path("stdlib")).resolve()
    snapshot = Snapshot(open_folders([root]))
    texts = dict(readable(snapshot.texts(file.path for file in snapshot.python_files().files)))
    lines = sum(text.count("\n") for text in texts.values())
    print(f"{root}: {len(texts)} files, {lines} lines")
    files(texts)
    one_file(texts)
    index(root, lines)


if __name__ == "__main__":
    main()
