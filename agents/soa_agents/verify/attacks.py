"""Attacks on files and sockets, tried from inside the jail.

Standard library only, Python 3.9 or newer: it is copied in.
Each is a function that returns what it got hold of, and raises or returns nothing when it was stopped. They
aim at decoys, and what is really there they leave as it is, so that one that succeeds does no harm. What only
the decoys can tell (what arrived, what was written) is seen by the one who put them up.
"""

# ruff: noqa: PTH101, PTH104, PTH108, PTH109, PTH116, PTH118, PTH120, PTH123, PTH208, PTH211
# (calls as an attacker makes them; nothing here may import more than it needs)

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import stat
from collections.abc import Callable
from typing import Any

Aim = dict[str, Any]
Attack = Callable[[Aim], object]

LIBC = ctypes.CDLL(None, use_errno=True)


def run(aim: Aim, table: dict[str, Attack]) -> dict[str, str]:
    """Try every attack of `table`; which of them succeeded, and with what."""
    got: dict[str, str] = {}
    for name, attack in table.items():
        try:
            found = attack(aim)
        except Exception:  # noqa: S112 - whatever stopped it
            continue
        if found:
            got[name] = str(found)[:200]
    return got


def _opened(path: str, flags: int) -> bool:
    os.close(os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK))
    return True


def _contents(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _changed(path: str, change: Callable[[], object]) -> bool:
    """Whether `change` really changed what the system knows of `path`."""
    before = os.stat(path).st_ctime_ns
    change()
    return os.stat(path).st_ctime_ns != before


def _same_mode(path: str) -> bool:
    return _changed(path, lambda: os.chmod(path, stat.S_IMODE(os.stat(path).st_mode)))


def _same_mode_when_open(path: str) -> bool:
    number = os.open(path, os.O_RDONLY)
    try:
        return _changed(path, lambda: os.fchmod(number, stat.S_IMODE(os.fstat(number).st_mode)))
    finally:
        os.close(number)


def _same_owner(path: str) -> bool:
    found = os.stat(path)
    return _changed(path, lambda: os.chown(path, found.st_uid, found.st_gid))


def _same_times(path: str) -> bool:
    found = os.stat(path)
    return _changed(path, lambda: os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns)))


def _attribute(path: str) -> bool:
    os.setxattr(path, "user.soa", b"x")
    return os.getxattr(path, "user.soa") == b"x"


def _beside(aim: Aim) -> str:
    return os.path.join(os.path.dirname(aim["secret"]), "planted")


def _plants(path: str) -> bool:
    with open(path, "x"):
        pass
    os.unlink(path)
    return True


def _links_it_in(aim: Aim) -> str:
    with contextlib.suppress(FileExistsError):
        os.link(aim["secret"], "hard")
    return _contents("hard")


def _points_at_it(aim: Aim) -> str:
    with contextlib.suppress(FileExistsError):
        os.symlink(aim["secret"], "soft")
    return _contents("soft")


def _moves(aim: Aim) -> bool:
    os.rename(aim["secret"], "moved")
    return True


def _shortens(aim: Aim) -> bool:
    os.truncate(aim["secret"], 0)
    return True


def _each(told: str, paths: tuple[str, ...], attack: Callable[[str], object]) -> dict[str, Attack]:
    """One attack for each path; `told` is its name, with the path in the place of the braces."""
    return {told.format(path): lambda aim, path=path: attack(path) for path in paths}  # type: ignore[misc]


def _writes_through_a_link(aim: Aim) -> bool:
    with contextlib.suppress(FileExistsError):
        os.symlink(_beside(aim), "out")
    with open("out", "w"):
        pass
    os.unlink(_beside(aim))
    return True


def _shared_memory_of_system_v(aim: Aim) -> bool:
    return bool(LIBC.shmget(aim["key"], 0, 0) >= 0)


def _calls(aim: Aim, path: str) -> str:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(1)
        caller.connect(path)
        return f"connected to {path!r}"


def _sends(to: Any, *kinds: Any) -> None:
    """Send a datagram; the decoy knows whether it came."""
    with socket.socket(*kinds) as sender:
        sender.sendto(b"x", to)


def _sends_through_a_pair(path: str) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendto(b"x", path)


def _calls_tcp(aim: Aim) -> str:
    with socket.create_connection(("127.0.0.1", aim["tcp"]), 1):
        return "connected to the machine's loopback"


def _exotic_socket(aim: Aim) -> str:
    for family, kind in ((socket.AF_PACKET, socket.SOCK_RAW), (40, 1), (38, 5), (socket.AF_INET, 3)):
        with contextlib.suppress(OSError), socket.socket(family, kind):
            return f"a socket of family {family}"
    return ""


_SYSTEM = ("/etc/passwd", "/etc/hosts", "/usr/bin/env", "/proc/sys/kernel/core_pattern")
_DEVICES = ("/dev/null", "/dev/urandom", "/dev/zero")
ATTACKS: dict[str, Attack] = {
    # files
    "reads a secret": lambda aim: _contents(aim["secret"]),
    "lists the secret's folder": lambda aim: os.listdir(os.path.dirname(aim["secret"])),
    "writes the secret": lambda aim: _opened(aim["secret"], os.O_WRONLY),
    "plants a file beside the secret": lambda aim: _plants(_beside(aim)),
    "moves the secret": _moves,
    "links to the secret": _links_it_in,
    "a symbolic link to the secret": _points_at_it,
    "writes through a symbolic link": _writes_through_a_link,
    "changes the secret's mode": lambda aim: _same_mode(aim["secret"]),
    "changes the secret's owner": lambda aim: _same_owner(aim["secret"]),
    "changes the secret's times": lambda aim: _same_times(aim["secret"]),
    "changes the secret's attributes": lambda aim: _attribute(aim["secret"]),
    "shortens the secret": _shortens,
    "reads the shadow file": lambda aim: _contents("/etc/shadow"),
    **_each("opens {} to write", _SYSTEM, lambda path: _opened(path, os.O_WRONLY)),
    **_each("plants a file in {}", ("/", "/usr", "/etc", "/proc"), lambda path: _plants(path + "/planted")),
    **_each("changes the mode of {}", (*_SYSTEM, *_DEVICES, "/"), _same_mode),
    **_each("changes the times of {}", (*_DEVICES, "/usr/bin/env"), _same_times),
    "writes into Python": lambda aim: _opened(os.__file__, os.O_WRONLY),
    "poisons Python's byte code": lambda aim: _plants(os.path.dirname(os.__file__) + "/__pycache__/planted"),
    "changes the mode of Python": lambda aim: _same_mode(os.__file__),
    "changes the mode of Python, open": lambda aim: _same_mode_when_open(os.__file__),
    "reads others' shared memory": lambda aim: _contents(aim["shared"]),
    "writes where others share memory": lambda aim: os.stat(aim["shared"]) and _plants(aim["shared"] + "-"),
    "opens others' terminal": lambda aim: _opened(aim["terminal"], os.O_RDWR | os.O_NOCTTY),
    "shared memory of System V": _shared_memory_of_system_v,
    # sockets
    "calls the loopback": _calls_tcp,
    "sends to the loopback": lambda aim: _sends(("127.0.0.1", aim["udp"]), socket.AF_INET, socket.SOCK_DGRAM),
    "calls a socket": lambda aim: _calls(aim, aim["socket"]),
    "calls a socket beside what it may read": lambda aim: _calls(aim, aim["visible"]),
    "calls an abstract socket": lambda aim: _calls(aim, "\0" + aim["abstract"]),
    "sends to a socket": lambda aim: _sends(aim["datagrams"], socket.AF_UNIX, socket.SOCK_DGRAM),
    "sends through a pair": lambda aim: _sends_through_a_pair(aim["datagrams"]),
    "an unusual socket": _exotic_socket,
}


def tree_is() -> str:
    """How the tree that may be written to comes about."""
    with contextlib.suppress(OSError):
        for line in _contents("/proc/self/mounts").splitlines():
            if line.split()[1] == os.getcwd() and line.split()[2] == "overlay":
                return "overlayfs"
    return "private copy"
