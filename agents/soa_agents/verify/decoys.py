"""What attacks aim at, where a person's files, sockets and processes would be. Nobody misses it.

A decoy that can tell afterwards what was done to it does: an attack is not asked whether it succeeded.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pty
import resource
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Decoys:
    """What attacks aim at, and what it can tell afterwards."""

    aim: dict[str, Any]
    tree: Path
    sleeper: subprocess.Popen[bytes]
    listening: dict[str, socket.socket]
    nice: int

    def seen(self) -> tuple[str, ...]:
        """The attacks that reached their decoys."""
        found = []
        if self.sleeper.poll() is not None:
            found.append("signals")
        elif os.getpriority(os.PRIO_PROCESS, self.sleeper.pid) != self.nice:
            found.append("steers others")
        for name, each in self.listening.items():
            with contextlib.suppress(OSError):
                if each.recv(16):
                    found.append(name)
        secret = Path(self.aim["secret"])
        if not secret.is_file() or secret.read_text() != self.aim["token"]:
            found.append("writes the secret")
        return tuple(found)


@contextlib.contextmanager
def decoys(where: Path | None = None) -> Iterator[Decoys]:
    """Put up a secret (below `where`), sockets, a process, shared memory and a terminal to be attacked."""
    token = f"soa-decoy-{secrets.token_hex(8)}"
    with ExitStack() as stack:
        place = Path(stack.enter_context(_folder(_for_sockets())))
        secret = Path(stack.enter_context(_folder(where))) / "secret"
        secret.write_text(token)
        for name in ("tree", ".git"):
            (place / name).mkdir()
        listening = _sockets(stack, place)
        sleeper = _sleeper(stack, token)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(sleeper.pid, resource.RLIMIT_NOFILE, (soft - 7, hard))
        aim = {
            "token": token,
            "secret": str(secret),
            "pid": sleeper.pid,
            "files": soft - 7,
            "terminal": _terminal(stack),
            "tcp": listening["calls the loopback"].getsockname()[1],
            "udp": listening["sends to the loopback"].getsockname()[1],
            "socket": str(place / "stream"),
            "visible": str(place / ".git/visible"),
            "datagrams": str(place / "datagrams"),
            "abstract": f"{place.name}-abstract",
            **_shared(stack, token),
        }
        nice = os.getpriority(os.PRIO_PROCESS, sleeper.pid)
        yield Decoys(aim, place / "tree", sleeper, listening, nice)


def _for_sockets() -> Path | None:
    """Where a socket's name fits into its 107 bytes: not below every folder for temporary files."""
    return Path("/tmp") if len(os.fsencode(tempfile.gettempdir())) > 64 else None  # noqa: S108


def _folder(where: Path | None) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix=".soa-decoy-", dir=where, ignore_cleanup_errors=True)


def _sockets(stack: ExitStack, place: Path) -> dict[str, socket.socket]:
    """Listening ones by the attack that would reach them."""
    kinds: dict[str, tuple[int, int, Any]] = {
        "calls the loopback": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
        "sends to the loopback": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
        "calls a socket": (socket.AF_UNIX, socket.SOCK_STREAM, str(place / "stream")),
        "calls a socket beside what it may read": (
            socket.AF_UNIX,
            socket.SOCK_STREAM,
            str(place / ".git/visible"),
        ),
        "calls an abstract socket": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{place.name}-abstract"),
        "sends to a socket": (socket.AF_UNIX, socket.SOCK_DGRAM, str(place / "datagrams")),
    }
    found = {}
    for name, (family, kind, address) in kinds.items():
        made = stack.enter_context(socket.socket(family, kind))
        made.setblocking(False)
        made.bind(address)
        if kind == socket.SOCK_STREAM:
            made.listen()
        found[name] = made
    return found


def _sleeper(stack: ExitStack, token: str) -> subprocess.Popen[bytes]:
    """A process that has the token in its environment and its arguments, and waits to be harmed."""
    program = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)", token]
    sleeper = subprocess.Popen(  # noqa: S603 - our own Python, asleep
        program, env={"DECOY": token}, stdin=subprocess.DEVNULL, start_new_session=True
    )
    stack.callback(sleeper.wait)
    stack.callback(sleeper.kill)
    return sleeper


def _terminal(stack: ExitStack) -> str:
    try:
        ours, theirs = pty.openpty()
    except OSError:
        return "/dev/pts/none"
    stack.callback(os.close, ours)
    stack.callback(os.close, theirs)
    return os.ttyname(theirs)


def _shared(stack: ExitStack, token: str) -> dict[str, Any]:
    """A file in /dev/shm and a segment of System V's shared memory."""
    shared, key = Path("/dev/shm") / token, secrets.randbits(30) | 1  # noqa: S108 - what is attacked
    with contextlib.suppress(OSError):
        shared.write_text(token)
        stack.callback(shared.unlink)
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(key, 4096, 0o1600)  # IPC_CREAT, for this user
    if segment >= 0:
        stack.callback(libc.shmctl, segment, 0, None)
    return {"shared": str(shared), "key": key}
