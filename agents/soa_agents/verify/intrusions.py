"""Attacks on other processes and on the machine, tried from inside the jail; as in `attacks.py`.

Standard library only, Python 3.9 or newer: it is copied in.
"""

# ruff: noqa: B905, PTH103, PTH109, PTH123, PTH208
# (calls as an attacker makes them; nothing here may import more than it needs)

from __future__ import annotations

import contextlib
import ctypes
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


def _call(name: str, *arguments: Any) -> int:
    """Call the kernel; raises `OSError` on other systems and on machines whose numbers are not known."""
    if sys.platform != "linux" or name not in _NUMBERS:
        raise OSError(f"{name} is not known here")
    ctypes.set_errno(0)
    return int(LIBC.syscall(_NUMBERS[name], *arguments))


def _contents(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


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
                os.close(os.open(f"/proc/{pid}/{file}", os.O_RDONLY | os.O_NONBLOCK))
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
        (b"proc", b"mounted", b"proc", 0),
        (b"/", b"mounted", None, _BIND),
        (None, b"/usr", None, _REMOUNT | _BIND),
        (None, b"/", None, _REMOUNT | _BIND),
        (None, b"/proc/sys", None, _REMOUNT | _BIND),
        (b"tmpfs", b"mounted", b"tmpfs", 0),
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


INTRUSIONS: dict[str, Attack] = {
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
    "joins namespaces": _joins_namespaces,
    "unshares": _unshares,
    "clones": _clones,
    "mounts": _mounts,
    "unmounts": _unmounts,
    **{name: lambda aim, name=name: _forbidden(name) for name in _FORBIDDEN},  # type: ignore[misc]
    "gains rights": _gains_rights,
    "reads the kernel's log": _reads_the_kernels_log,
    "sets the clock": _sets_the_clock,
    "makes a device": _makes_a_device,
    "takes the processor": _takes_the_processor,
    "changes its root": _changes_its_root,
    "names the machine": _names_the_machine,
    "leaves a daemon": _leaves_a_daemon,
}
