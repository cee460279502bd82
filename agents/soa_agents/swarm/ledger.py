"""The events of every job, in SQLite, written as they happen: one file a workspace.

The folder is in the user's state folder and private to the user (0700, the files 0600). What agents were
told, what they replied and what the tests said is kept as it was, for 30 days. No key ever enters: events
hold prompts, replies and reports, none of which carries one.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import cattrs

from soa_agents import wire
from soa_agents.errors import LedgerBroken, UsageError
from soa_agents.models.port import Usage
from soa_agents.patch import Patch
from soa_agents.settings import state_folder
from soa_agents.swarm.actions import Ask
from soa_agents.swarm.events import (
    ActionFailed,
    ActionStarted,
    Applied,
    CallLost,
    Event,
    JobEnded,
    JobRequested,
    JobResumed,
    Replied,
)
from soa_agents.swarm.job import JobUpdate
from soa_agents.swarm.lock import Lock, held
from soa_agents.workspace.store import BUSY_SECONDS, write_ahead

KEEP_SECONDS = 30 * 24 * 3600.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    id TEXT PRIMARY KEY,
    root TEXT NOT NULL,
    protocol TEXT NOT NULL,
    started REAL NOT NULL,
    touched REAL NOT NULL,
    ended INTEGER NOT NULL,
    last TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    job TEXT NOT NULL,
    number INTEGER NOT NULL,
    agent TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (job, number)
);
"""
_ENTRIES = """
SELECT last, root, protocol, started, touched, ended,
    (SELECT COUNT(*) FROM event WHERE job = job.id AND agent <> ''),
    (SELECT COUNT(DISTINCT agent) FROM event WHERE job = job.id AND agent <> '')
FROM job ORDER BY started DESC, id
"""


def path_of(root: Path) -> Path:
    """Where the ledger of a workspace folder lies, whether or not it is there yet."""
    digest = sha256(str(root.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:20]
    return state_folder() / "ledger" / f"{digest}.sqlite3"


@dataclass(frozen=True, slots=True)
class Entry:
    """One job as a list of them needs it. Times are seconds since the epoch.

    `last` is its last `soa/job`; while it has not ended, with what it has used by now. `calls` counts model
    calls that were begun, `agents` who was asked.
    """

    last: JobUpdate
    root: str
    protocol: str
    started: float
    touched: float
    ended: bool
    calls: int
    agents: int

    @property
    def id(self) -> str:
        """The job's id."""
        return self.last.job_id


class Ledger:
    """The append-only logs of one workspace. What fails here raises `LedgerBroken`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._locks: dict[str, Lock] = {}
        with self._told():
            _make_private(path)
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            write_ahead(self._db)
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.executescript(_SCHEMA)
            before = (time.time() - KEEP_SECONDS,)
            old = self._db.execute("SELECT id FROM job WHERE touched < ?", before).fetchall()
        self._forget(job_id for (job_id,) in old)

    @classmethod
    def of(cls, root: Path) -> Ledger:
        """The ledger of a workspace folder, made when there is none."""
        return cls(path_of(root))

    @property
    def reports(self) -> Path:
        """The folder in which reports of its jobs are kept, as long as the jobs are."""
        return self.path.with_suffix(".reports")

    # -- writing

    def append(self, job_id: str, event: Event) -> None:
        """Commit one event as the job's next; it is there for good when this returns."""
        asked = isinstance(event, ActionStarted) and isinstance(event.action, Ask)
        agent = event.action.agent if isinstance(event, ActionStarted) and asked else ""
        with self._writing():
            self._db.execute(
                "INSERT INTO event SELECT ?, COALESCE(MAX(number), 0) + 1, ?, ? FROM event WHERE job = ?",
                (job_id, agent, wire.event_line(event), job_id),
            )
            if isinstance(event, JobRequested):
                self._enter(event)
            self._touch(job_id, event)

    def _enter(self, event: JobRequested) -> None:
        start = event.start
        last = JobUpdate(start.job_id, start.kind, next(iter(start.targets), ""), "running")
        root = next((folder.root for folder in start.folders), "")
        row = (start.job_id, root, start.settings.protocol, event.time, event.time, 0, _line(last))
        self._db.execute("INSERT INTO job VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def _touch(self, job_id: str, event: Event) -> None:
        self._db.execute("UPDATE job SET touched = ? WHERE id = ?", (time.time(), job_id))
        if not isinstance(event, JobEnded | JobResumed | Replied | CallLost | ActionFailed):
            return
        for (line,) in self._db.execute("SELECT last FROM job WHERE id = ?", (job_id,)).fetchall():
            row = (_line(_told(_update(line), event)), isinstance(event, JobEnded), job_id)
            self._db.execute("UPDATE job SET last = ?, ended = ? WHERE id = ?", row)

    def clear(self) -> int:
        """Forget every job that nobody is running; how many those were."""
        with self._told():
            known = self._db.execute("SELECT id FROM job").fetchall()
        gone = self._forget(job_id for (job_id,) in known)
        with self._told():
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def _forget(self, job_ids: Iterable[str]) -> int:
        gone = [job_id for job_id in job_ids if not self.is_running(job_id)]
        if gone:
            with self._writing():
                for statement in ("DELETE FROM event WHERE job = ?", "DELETE FROM job WHERE id = ?"):
                    self._db.executemany(statement, [(job_id,) for job_id in gone])
        for job_id in gone:
            self._lock_path(job_id).unlink(missing_ok=True)
            for report in self.reports.glob(f"{job_id}.*"):
                report.unlink(missing_ok=True)
        return len(gone)

    # -- reading

    def events(self, job_id: str) -> Iterator[Event]:
        """The job's events in order; none for an unknown job."""
        with self._told():
            rows = self._db.execute(
                "SELECT line FROM event WHERE job = ? ORDER BY number", (job_id,)
            ).fetchall()
        with _readable():
            for (line,) in rows:
                yield wire.event_of(line)

    def entries(self) -> tuple[Entry, ...]:
        """Every job, the newest first."""
        with self._told():
            rows = self._db.execute(_ENTRIES).fetchall()
        return tuple(
            Entry(_update(last), root, protocol, started, touched, bool(ended), calls, agents)
            for last, root, protocol, started, touched, ended, calls, agents in rows
        )

    def knows(self, job_id: str) -> bool:
        """Whether there is a job of that id."""
        with self._told():
            return bool(self._db.execute("SELECT 1 FROM job WHERE id = ?", (job_id,)).fetchall())

    def find(self, name: str) -> Entry:
        """The job of that id or of an id that begins so; raises `UsageError` when it is none or several."""
        known = self.entries()
        found = [e for e in known if e.id == name] or [e for e in known if name and e.id.startswith(name)]
        if len(found) != 1:
            what = f"fits {len(found)} jobs" if found else "is no job of this workspace"
            raise UsageError(f"{name} {what}. `soa history` lists them.")
        return found[0]

    # -- who runs what

    def claim(self, job_id: str) -> bool:
        """Whether the job is this process's to run now, until `release` or the process's end."""
        lock = self._locks.get(job_id) or Lock(self._lock_path(job_id))
        with self._told():
            mine = job_id in self._locks or lock.take()
        if mine:
            self._locks[job_id] = lock
        return mine

    def is_running(self, job_id: str) -> bool:
        """Whether some process runs the job, this one included."""
        with self._told():
            return held(self._lock_path(job_id))

    def interrupted(self) -> tuple[Entry, ...]:
        """The jobs that were cut off: neither ended nor running."""
        return tuple(e for e in self.entries() if not e.ended and not self.is_running(e.id))

    def close(self) -> None:
        """Give back what was claimed and close the database."""
        for lock in self._locks.values():
            lock.release()
        self._locks.clear()
        self._db.close()

    def _lock_path(self, job_id: str) -> Path:
        name = sha256(job_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return self.path.with_suffix(f".{name}.lock")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:  # a full disk has ended it already
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise LedgerBroken(
                f"SoA records its jobs in {self.path}, which cannot be used ({error}). Make room there, or "
                "move that file away, and try again."
            ) from error


def holding(roots: Iterable[Path], job_id: str) -> Ledger | None:
    """The ledger among those of these folders that knows the job; none is made."""
    for root in roots:
        if not path_of(root).exists():
            continue
        ledger = Ledger.of(root)
        if ledger.knows(job_id):
            return ledger
        ledger.close()
    return None


def note_applied(roots: Iterable[Path], job_id: str, patch: Patch, texts: Mapping[str, str]) -> None:
    """Record that a front end wrote a job's patch on these texts."""
    before = {path: texts[path] for path in patch.paths if path in texts}
    _note(roots, job_id, Applied(patch, before, time.time()))


def note_end(roots: Iterable[Path], update: JobUpdate, patch: Patch) -> None:
    """Record that a job came to another end than the engine's, because its patch was not written."""
    _note(roots, update.job_id, JobEnded(update, patch, time.time()))


def _note(roots: Iterable[Path], job_id: str, event: Event) -> None:
    """A ledger that cannot be written undoes nothing of what happened, so that is passed over."""
    with contextlib.suppress(LedgerBroken):
        ledger = holding(roots, job_id)
        if ledger is not None:
            with contextlib.closing(ledger):
                ledger.append(job_id, event)


def _make_private(path: Path) -> None:
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for private, mode in ((folder.parent, 0o700), (folder, 0o700)):
        private.chmod(mode)
    path.touch(mode=0o600, exist_ok=True)


def _told(last: JobUpdate, event: JobEnded | JobResumed | Replied | CallLost | ActionFailed) -> JobUpdate:
    """The last `soa/job` of a job after one more event."""
    match event:
        case JobEnded():
            return event.update
        case JobResumed():
            return JobUpdate(last.job_id, last.kind, last.target, "running", usage=last.usage)
        case Replied() | CallLost() | ActionFailed():
            return replace(last, usage=(last.usage or Usage()) + event.usage)


def _line(update: JobUpdate) -> str:
    return json.dumps(wire.to_json(update), separators=(",", ":"))


def _update(line: str) -> JobUpdate:
    with _readable():
        return wire.from_json(json.loads(line), JobUpdate)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, cattrs.BaseValidationError) as error:
        raise LedgerBroken(
            "This workspace's jobs were recorded by another version of SoA, which this one cannot read. "
            "Start the job anew; soa history --clear forgets the old ones."
        ) from error
