"""macOS: the profile that `sandbox-exec` would confine a test run with. Standard library only.

Nobody has proven it: processes that detach themselves outlive it, so a probe would not let it pass, and SoA
asks there before it runs anything. It is what that way begins with.
"""

from __future__ import annotations

from collections.abc import Iterable

PROGRAM = "/usr/bin/sandbox-exec"
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/System", "/Library/Frameworks", "/Library/Developer/CommandLineTools"),
    *("/opt/homebrew", "/private/etc/ssl", "/private/etc/localtime", "/private/var/db/timezone"),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_BEGIN = """(version 1)
(deny default)
(allow process-fork)
(allow process-exec)
(allow sysctl-read)
(allow signal (target same-sandbox))
(allow process-info* (target same-sandbox))
(allow ipc-posix-sem)
(allow file-read-metadata)
(deny network*)"""


def command(argv: tuple[str, ...], readable: Iterable[str], writable: Iterable[str]) -> tuple[str, ...]:
    """`argv` behind the profile that lets it read and write below these paths and nowhere else."""
    return (PROGRAM, "-p", profile(readable, writable), *argv)


def profile(readable: Iterable[str], writable: Iterable[str]) -> str:
    """The profile's text. Later rules win in it; no socket of any kind, no other process."""
    writable = tuple(writable)
    lines = [_BEGIN, '(allow file-read* (literal "/"))']
    lines += [f"(allow file-read* {_below(path)})" for path in (*_SYSTEM, *readable, *writable)]
    lines += [f"(allow file-write* {_below(path)})" for path in writable]
    lines += [f"(allow file-read* file-write-data (literal {_quoted(path)}))" for path in _DEVICES]
    return "\n".join(lines) + "\n"


def _below(path: str) -> str:
    return f"(subpath {_quoted(path)})"


def _quoted(path: str) -> str:
    if "\n" in path or "\0" in path:
        raise ValueError(f"{path!r} cannot be named in a profile")
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
