"""What the index of a folder costs: cold, started again, asked; beside two parsers on the same files.

    python tests/bench/index.py FOLDER [--ask PATH]

Processor and wall seconds of this process, MB at its peak. A bare tree-sitter parse and `ast.parse` of the
same texts are the peers: their ratio is what counts on a machine that others use too.
"""

from __future__ import annotations

import argparse
import ast
import gc
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from soa_agents.workspace.index import open_index, update
from soa_agents.workspace.mapping import asked_agents
from soa_agents.workspace.snapshot import Snapshot, open_folders, read_text
from soa_agents.workspace.syntax import parse

Result = TypeVar("Result")


def timed(name: str, action: Callable[[], Result], per: float = 0) -> tuple[float, Result]:
    """Run it and say what it took; `per` is how many times 100,000 lines it read."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = action()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    each = f", {cpu / per:.3f} CPU s for 100,000 lines" if per else ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name}: {cpu:.2f} s CPU, {wall:.2f} wall, peak {peak:.0f} MB{each}", flush=True)
    return cpu, result


def indexed(snapshot: Snapshot, cache: Path) -> int:
    with closing(open_index(cache)) as store:
        return update(snapshot, store).files


def by_tree_sitter(texts: list[str]) -> None:
    for text in texts:
        parse(text)


def by_ast(texts: list[str]) -> None:
    for text in texts:
        with suppress(SyntaxError, ValueError):
            ast.parse(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--ask", metavar="PATH", help="whose agents are asked for; the longest file's by default"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    gc.disable()  # as in the indexer
    snapshot = Snapshot(open_folders([options.folder]))
    files = snapshot.python_files().files
    lines = sum((read_text(file.disk) or "").count("\n") for file in files)
    print(f"{len(files)} files, {lines} lines")
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch) / "index.sqlite3"
        cold, _ = timed("cold index", lambda: indexed(snapshot, cache), lines / 1e5)
        timed("started again", lambda: indexed(snapshot, cache))
        asked = options.ask or max(files, key=lambda file: file.size).path
        _, agents = timed(f"agents of {asked}", lambda: asked_agents(snapshot, cache, asked))
        timed(f"once more, {len(agents)} agents", lambda: asked_agents(snapshot, cache, asked))
        timed("agents of all", lambda: asked_agents(snapshot, cache))
    texts = [text for file in files if (text := read_text(file.disk)) is not None]
    bare, _ = timed("tree-sitter alone", lambda: by_tree_sitter(texts), lines / 1e5)
    own, _ = timed("ast.parse alone", lambda: by_ast(texts), lines / 1e5)
    print(f"cold index over tree-sitter {cold / bare:.2f}, over ast.parse {cold / own:.2f}")


if __name__ == "__main__":
    main()
