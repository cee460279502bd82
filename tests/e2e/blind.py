"""Try the prompts blind: somebody who has nothing but a rendered prompt answers, the engine takes the reply.

    python tests/e2e/blind.py MAILBOX [TRIAL…]

Every call of a model becomes a file `MAILBOX/<trial>.<n>.<step>.prompt.md`; the reply is awaited as
`….reply.md` beside it (write it under another name first, then rename it). Twenty functions of real
projects, every step: first writes with and without helpers, feedback and changes after a first reply that
was made wrong on purpose, tests for a function that has none, stubs from a docstring. Each trial that ends
leaves `<trial>.result.md`; at the end `table.md` says how many replies each took, and the replies stand in
`recording.jsonl`. The mailbox must be new or hold no `work` folder.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a program, not through pytest

from e2e import texts
from e2e.cases import CASES, Case
from e2e.real_projects import PROJECTS, copy_of, interpreter_of
from openai_server import asked
from soa_agents.jobs import run_job
from soa_agents.settings import Limits, ModelSettings, Settings, TestSettings
from soa_agents.swarm.job import FolderRef, JobKind, JobResult, StartJob

PLAN = '''"""Durations as people write them.

`parse_duration` turns a text such as "1h 30m", "45s" or "2d" into seconds, summing the parts; units are d,
h, m and s, blanks between parts are optional, and "1h 30m" gives 5400. A text without any part, or with an
unknown unit, raises ValueError. `format_duration` does the reverse: 5400 becomes "1h 30m", 0 becomes "0s",
negative numbers raise ValueError. `round_to` rounds a number of seconds to the nearest multiple of a unit
given by its letter, halves upwards: 5429 to "m" gives 5400.
"""
'''
STACK = '''class UndoStack:
    """A bounded history of states.

    `push` puts a state on top and forgets everything that was undone; when more than the limit given to
    the constructor are kept, the oldest goes. `undo` steps back and returns the state before, or None at
    the beginning. `redo` takes back the last `undo` and returns that state, or None. `len(stack)` is the
    number of states that can be undone to.
    """
'''


@dataclass(frozen=True, slots=True)
class Trial:
    """One function, and how it is put to the reader."""

    name: str
    project: str
    function: str
    kind: JobKind = "generate"
    wrong_first: bool = False
    without_tests: bool = False
    depth: int = 2
    written: str = ""  # a file's text to lay instead of disturbing a function


def case(name: str, **how: Any) -> Trial:
    """A trial on the case of that function's name."""
    found = next(c for c in CASES if c.name == name)
    return Trial(name.replace(".<locals>.", "-").strip("_"), found.project, found.function, **how)


TRIALS = (
    case("split_at"),
    case("minmax"),
    case("bucket.__contains__"),
    case("roundrobin"),
    case("seekable.peek"),
    case("intcomma"),
    case("scientific"),
    case("natural_list", depth=1),
    case("naturalsize"),
    case("naturalday"),
    case("NameAliasMixin.get_alias", wrong_first=True),
    case("TokenList.flatten", wrong_first=True),
    case("split_unquoted_newlines"),
    case("numeric_range._len", wrong_first=True),
    case("apnumber", wrong_first=True),
    case("clamp"),
    case("run_length.encode", without_tests=True),
    case("ordinal", without_tests=True),
    Trial("durations", "humanize", "src/humanize/durations.py::<module>", kind="stubs", written=PLAN),
    Trial("undo_stack", "async_shop", "shop/undo.py::UndoStack", kind="stubs", written=STACK),
)


@dataclass
class Mailbox:
    """Prompts out, replies in, one numbered pair of files a call."""

    folder: Path
    trial: str
    wrong: str = ""
    count: int = 0

    def reply_to(self, request: dict[str, Any]) -> Iterator[str]:
        """The reply, with nothing in between but blanks while it is awaited."""
        target, step = asked(request)
        self.count += 1
        if self.wrong and self.count == 1:
            yield self.wrong
            return
        stem = self.folder / f"{self.trial}.{self.count}.{step}"
        said = "\n\n".join(f"[{m['role']}]\n\n{m['content']}" for m in request["messages"])
        Path(f"{stem}.prompt.md").write_text(said)
        answer = Path(f"{stem}.reply.md")
        while not answer.exists():
            time.sleep(1)  # a person answers
            yield ""
        text = answer.read_text()
        with (self.folder / "recording.jsonl").open("a") as recording:
            recording.write(
                json.dumps({"trial": self.trial, "target": target, "step": step, "reply": text}) + "\n"
            )
        yield text


def serve(box: Mailbox) -> ThreadingHTTPServer:
    """A server that speaks the OpenAI protocol and answers from the mailbox."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version: ClassVar[str] = "HTTP/1.0"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for waited, text in enumerate(box.reply_to(request), 1):
                if text or waited % 20 == 0:
                    self._chunk({"content": text or "\n"}, None)
            self._chunk({}, "stop")
            self.wfile.write(b"data: [DONE]\n\n")

        def _chunk(self, delta: dict[str, str], finish: str | None) -> None:
            data = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "blind"}
            data["choices"] = [{"index": 0, "delta": delta, "finish_reason": finish}]  # type: ignore[assignment]
            self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def lay(trial: Trial, folder: Path) -> str:
    """The workspace of a trial; returns the first, wrong reply where the trial wants one."""
    root = copy_of(trial.project, folder)
    path = root / trial.function.partition("::")[0]
    if trial.written:
        path.write_text(trial.written)
        return ""
    found: Case = next(c for c in CASES if c.function == trial.function)
    original = path.read_text()
    path.write_text(texts.disturbed(original, replace(found, broken=None)))
    if trial.without_tests:
        for test in [*root.glob("tests/**/test_*.py")]:
            test.unlink()
    if not trial.wrong_first:
        return ""
    change = found.wrong if found.wrong[0] else found.broken
    assert change is not None
    return f"```python\n{texts.changed(texts.source_of(original, found.name), change)}\n```"


async def run(trial: Trial, mailbox: Path, work: Path) -> tuple[Trial, JobResult, int]:
    """One trial to its end; also how many replies it took."""
    root = work / trial.name
    wrong = await asyncio.to_thread(lay, trial, root)
    box = Mailbox(mailbox, trial.name, wrong)
    server = serve(box)
    host, port = server.server_address[:2]
    settings = Settings(
        model=ModelSettings(name="blind", base_url=f"http://{host!s}:{port}/v1"),
        limits=Limits(seconds=7200, depth=trial.depth),
        tests=TestSettings(
            interpreter=str(interpreter_of(trial.project, root)), args=PROJECTS[trial.project].args
        ),
    )
    start = StartJob(
        f"blind-{trial.name}", trial.kind, (FolderRef("w", str(root)),), (trial.function,), settings, {}
    )
    result = await run_job(start, None, lambda update: None, asyncio.Event())
    server.shutdown()
    diff = result.patch.unified(result.texts or {}) if result.patch.edits else ""
    (mailbox / f"{trial.name}.result.md").write_text(f"{result.update}\n\n{diff}")
    return trial, result, box.count


async def main(mailbox: Path, names: list[str]) -> None:
    """Run the trials at once and print the table."""
    work = mailbox / "work"
    work.mkdir(parents=True, exist_ok=True)
    chosen = [t for t in TRIALS if not names or t.name in names]
    rows = await asyncio.gather(*(run(t, mailbox, work) for t in chosen))
    lines = ["| function | put as | replies | ended |", "| --- | --- | --- | --- |"]
    for trial, result, count in rows:
        how = [
            trial.kind,
            *(w.replace("_", " ") for w in ("wrong_first", "without_tests") if getattr(trial, w)),
        ]
        ended = f"{result.update.verdict}: {result.update.message}"
        lines.append(f"| `{trial.function}` | {', '.join(how)} | {count} | {ended} |")
    table = "\n".join(lines) + "\n"
    (mailbox / "table.md").write_text(table)
    print(table)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
