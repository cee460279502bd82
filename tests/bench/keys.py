"""What a key costs in a long file, in this process alone: the edit followed, a code action found.

    python tests/bench/keys.py FILE…

Keys are those of `tests/bench/lsp.py`, at the same places: half of the time the text is broken. Processor
time, ms.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from soa_server.lsp.actions import Cursor, available
from soa_server.lsp.documents import Documents

TYPED, PLACES = "    x = f([1])", 12


def keys(path: Path) -> Iterator[float]:
    """Milliseconds of opening the file, then those of each key."""
    text, uri = path.read_text("utf-8"), path.as_uri()
    documents = Documents()
    start = time.process_time()
    documents.open(uri, text, 1, "python")
    act(documents, uri, text.count("\n") // 2)
    yield (time.process_time() - start) * 1000
    documents.outline(documents.get(uri))
    blank = [number for number, line in enumerate(text.split("\n")[:-1]) if not line]
    version = 1
    for place in range(PLACES):
        line = blank[(2 * place + 1) * len(blank) // (2 * PLACES)]
        for at, key in enumerate(TYPED):
            version += 1
            start = time.process_time()
            documents.edit(uri, [(((line, at), (line, at)), key)], version)
            act(documents, uri, line + 2)
            yield (time.process_time() - start) * 1000


def act(documents: Documents, uri: str, line: int) -> None:
    document = documents.get(uri)
    assert document is not None
    outline = documents.glimpse(document, line)
    available(Cursor(outline, outline.lines.offset(line, 4)))


def main() -> None:
    for name in sys.argv[1:]:
        first, *rest = keys(Path(name).absolute())
        ordered = sorted(rest)
        parts = ", ".join(f"p{part} {ordered[len(ordered) * part // 100]:.2f}" for part in (50, 95, 99))
        print(f"{name}: opened and first action {first:.1f}; a key and an action {parts}")


if __name__ == "__main__":
    main()
