"""Attacks on the jail, tried from inside it. Standard library only, Python 3.9 or newer: it is copied in.

Each is a function that returns what it got hold of, and raises or returns nothing when it was stopped. They
aim at decoys, and what is really there they leave as it is, so that one that succeeds does no harm. What only
the decoys can tell (who was signalled, what arrived) is seen by the one who put them up.
"""

# ruff: noqa: B905, PTH101, PTH103, PTH104, PTH108, PTH109, PTH116, PTH118, PTH120, PTH123, PTH208, PTH211
# (calls as an attacker makes them; nothing here may import more than it needs)

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import resource
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from typing import Any

Aim = dict[str, Any]
Attack = Callable[[Aim], object]

LIBC = ctypes.CDLL(None, use_errno=True)
# System calls without a wrapper in the C library; above 400 they are the same everywhere.
_NAMES = ("clone", "bpf", "keyctl", "perf_event_open", "userfaultfd", "pivot_root", "memfd_create")
_OF_MACHINE = {"x86_64": (56, 321, 250, 298, 323, 155, 319), "aarch64": (220, 280, 219, 241, 282, 41, 279)}
_NUMBERS = dict(zip(_NAMES, _OF_MACHINE.get(platform.machine(), ())))
_NUMBERS.update(pidfd_send_signal=424, io_uring_setup=425, open_tree=428, fsopen=430, pidfd_open=434)
_NUMBERS.update(pidfd_getfd=438, memfd_secret=447)
_NEW_USER, _BIND, _REMOUNT = 0x10000000, 0x1000, 0x20


def run(aim: Aim) -> dict[str, str]:
    """Try every attack; which of them succeeded, and with what."""
    got: dict[str, str] = {}
    for name, attack in ATTACKS.items():
        try:
            found = attack(aim)
        except Exception:  # noqa: S112 - whatever stopped it
            continue
        if found:
            got[name] = str(found)[:200]
    return got


def _call(name: str, *arguments: Any) -> int:
    """Call the kernel; raises `OSError` on other systems and on machines whose numbers are not known."""
    if sys.platform != "linux" or name not in _NUMBERS:
        raise OSError(f"{name} is not known here")
    ctypes.set_errno(0)
    return int(LIBC.syscall(_NUMBERS[name], *arguments))


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


def _keys_in_the_environment(aim: Aim) -> str:
    return " ".join(name for name, value in os.environ.items() if aim["token"] in value)


def _environment_of_others(aim: Aim) -> str:
    """Read what every process that can be seen was started with."""
    for name in os.listdir("/proc"):
        for file in ("environ", "cmdline"):
            with contextlib.suppress(OSError):
                if name.isdigit() and aim["token"] in _contents(f"/proc/{name}/{file}"):
                    return f"/proc/{name}/{file}"
    return ""


def _others(aim: Aim) -> list[int]:
    """Everybody but this process: the decoy, the parent, the first process, all who can be seen."""
    seen = [aim["pid"], os.getppid(), 1]
    with contextlib.suppress(OSError):
        seen += [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in dict.fromkeys(seen) if pid != os.getpid()]


def _memory_of_others(aim: Aim) -> str:
    for pid in _others(aim):
        for file in ("mem", "root/.", "cwd/.", "fd/0", "fd/1", "fd/3", "maps"):
            with contextlib.suppress(OSError):
                _opened(f"/proc/{pid}/{file}", os.O_RDONLY)
                return f"/proc/{pid}/{file}"
    return ""


def _traces(aim: Aim) -> str:
    return next((f"process {pid}" for pid in _others(aim) if LIBC.ptrace(0x4206, pid, 0, 0) == 0), "")


def _reads_memory(aim: Aim) -> str:
    class Part(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    place = ctypes.create_string_buffer(8)
    own = Part(ctypes.addressof(place), 8)
    for pid in (*_others(aim), os.getpid()):
        if LIBC.process_vm_readv(pid, ctypes.byref(own), 1, ctypes.byref(own), 1, 0) >= 0:
            return f"process {pid}"
    return ""


def _signals(aim: Aim) -> None:
    """The decoy ends if this reaches it; whoever has its number in here is left alone by it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        os.kill(aim["pid"], signal.SIGTERM)
        os.killpg(aim["pid"], signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _signals_by_descriptor(aim: Aim) -> None:
    number = _call("pidfd_open", aim["pid"], 0)
    _call("pidfd_send_signal", number, signal.SIGTERM, None, 0)


def _asks_for_signals(aim: Aim) -> None:
    """Have the kernel signal the decoy when a pipe of ours can be read."""
    import fcntl

    reading, writing = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETOWN, aim["pid"])
    fcntl.fcntl(reading, 10, signal.SIGTERM)  # F_SETSIG
    fcntl.fcntl(reading, fcntl.F_SETFL, fcntl.fcntl(reading, fcntl.F_GETFL) | os.O_ASYNC)
    os.write(writing, b"x")


def _limits_others(aim: Aim) -> str:
    soft, _ = resource.prlimit(aim["pid"], resource.RLIMIT_NOFILE)
    return "limits of the decoy" if soft == aim["files"] else ""


def _steers_others(aim: Aim) -> None:
    with contextlib.suppress(OSError):
        os.sched_setaffinity(aim["pid"], {min(os.sched_getaffinity(0))})
    os.setpriority(os.PRIO_PROCESS, aim["pid"], 19)


def _joins_namespaces(aim: Aim) -> str:
    for pid in _others(aim):
        with contextlib.suppress(OSError):
            number = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
            if LIBC.setns(number, 0) == 0:
                return f"those of process {pid}"
    return ""


def _unshares(aim: Aim) -> str:
    return "a user namespace" if LIBC.unshare(_NEW_USER) == 0 else ""


def _clones(aim: Aim) -> str:
    pid = _call("clone", _NEW_USER | signal.SIGCHLD, None, None, None, None)
    if pid == 0:
        os._exit(0)
    if pid > 0:
        os.waitpid(pid, 0)
    return "a process in a user namespace" if pid > 0 else ""


def _mounts(aim: Aim) -> str:
    os.makedirs("mounted", exist_ok=True)
    for source, target, kind, flags in (
        (b"tmpfs", b"mounted", b"tmpfs", 0),
        (b"proc", b"mounted", b"proc", 0),
        (b"/", b"mounted", None, _BIND),
        (None, b"/usr", None, _REMOUNT | _BIND),
        (None, b"/", None, _REMOUNT | _BIND),
    ):
        if LIBC.mount(source, target, kind, flags, None) == 0:
            return f"{kind!r} on {target!r}"
    return ""


def _unmounts(aim: Aim) -> str:
    for place in (b"/proc", b"/usr", b"/tmp", os.fsencode(os.getcwd())):
        if LIBC.umount2(place, 2) == 0:
            return repr(place)
    return ""


_FORBIDDEN: dict[str, tuple[Any, ...]] = {  # calls that reach around any jail
    "bpf": (0, 0, 0),
    "keyctl": (0, -3, 0),
    "perf_event_open": (0, 0, 0, 0, 0),
    "userfaultfd": (0,),
    "pivot_root": (b"nowhere", b"nowhere"),
    "memfd_create": (b"x", 0),
    "io_uring_setup": (0, 0),
    "open_tree": (-100, b"/usr", 1),
    "fsopen": (b"tmpfs", 0),
    "pidfd_getfd": (-1, 0, 0),
    "memfd_secret": (0,),
}


def _forbidden(name: str) -> str:
    """What the kernel answers when it is more than "not permitted" or "not there"."""
    done = _call(name, *_FORBIDDEN[name])
    return "" if done < 0 and ctypes.get_errno() in (1, 38) else f"answered {done}, {ctypes.get_errno()}"


def _gains_rights(aim: Aim) -> str:
    return "" if LIBC.prctl(39, 0, 0, 0, 0) == 1 else "set-uid programs would have their effect"


def _reads_the_kernels_log(aim: Aim) -> str:
    return "its size" if LIBC.klogctl(10, None, 0) >= 0 else ""


def _sets_the_clock(aim: Aim) -> bool:
    time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME))
    return True


def _makes_a_device(aim: Aim) -> bool:
    os.mknod("device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    return True


def _takes_the_processor(aim: Aim) -> bool:
    return os.nice(-1) < 0


def _changes_its_root(aim: Aim) -> bool:
    os.chroot(".")
    return True


def _names_the_machine(aim: Aim) -> bool:
    socket.sethostname(socket.gethostname())
    return True


def _leaves_a_daemon(aim: Aim) -> None:
    """Its copy of standard output stays open for as long as it lives."""
    if LIBC.fork() == 0:
        os.setsid()
        if LIBC.fork() == 0:
            signal.alarm(20)
            time.sleep(15)
        os._exit(0)


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
    # processes
    "a key in the environment": _keys_in_the_environment,
    "others' environment": _environment_of_others,
    "others' memory": _memory_of_others,
    "traces": _traces,
    "reads memory": _reads_memory,
    "signals": _signals,
    "signals by descriptor": _signals_by_descriptor,
    "asks for signals": _asks_for_signals,
    "limits others": _limits_others,
    "steers others": _steers_others,
    # the machine
    "joins namespaces": _joins_namespaces,
    "unshares": _unshares,
    "clones": _clones,
    "mounts": _mounts,
    "unmounts": _unmounts,
    **_each("{}", tuple(_FORBIDDEN), _forbidden),
    "gains rights": _gains_rights,
    "reads the kernel's log": _reads_the_kernels_log,
    "sets the clock": _sets_the_clock,
    "makes a device": _makes_a_device,
    "takes the processor": _takes_the_processor,
    "changes its root": _changes_its_root,
    "names the machine": _names_the_machine,
    "leaves a daemon": _leaves_a_daemon,
}


def tree_is() -> str:
    """How the tree that may be written to comes about."""
    with contextlib.suppress(OSError):
        for line in _contents("/proc/self/mounts").splitlines():
            if line.split()[1] == os.getcwd() and line.split()[2] == "overlay":
                return "overlayfs"
    return "private copy"


if __name__ == "__main__":
    print(json.dumps({"got": run(json.loads(_contents("aim"))), "tree": tree_is()}), flush=True)
