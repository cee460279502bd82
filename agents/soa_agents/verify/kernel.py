"""The Linux calls that the jail is built from, through ctypes alone. Every failure is an `OSError`.

Runs in the launcher process before anything of a workspace does; imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import socket
import stat
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

LIBC = ctypes.CDLL(None, use_errno=True)

NEW_USER, NEW_NET, NEW_PID, NEW_IPC, NEW_MOUNT, NEW_UTS = (
    0x10000000,
    0x40000000,
    0x20000000,
    0x08000000,
    0x00020000,
    0x04000000,
)
ALL_NEW = NEW_USER | NEW_NET | NEW_PID | NEW_IPC | NEW_MOUNT | NEW_UTS

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = (
    1,
    4,
    24,
    36,
    38,
)
CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_SETFCAP = 0, 1, 3, 31

# Numbers of x86_64 and of aarch64; above 400 they are the same everywhere.
_SYSCALLS = {
    "x86_64": {
        "arch": 0xC000003E, "socket": 41, "clone": 56, "ptrace": 101, "pivot_root": 155, "chroot": 161,
        "mount": 165, "umount2": 166, "swapon": 167, "reboot": 169, "init_module": 175, "delete_module": 176,
        "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272,
        "perf_event_open": 298, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
        "finit_module": 313, "seccomp": 317, "bpf": 321, "userfaultfd": 323, "syslog": 103,
        "memfd_create": 319, "kcmp": 312,
    },
    "aarch64": {
        "arch": 0xC00000B7, "socket": 198, "clone": 220, "ptrace": 117, "pivot_root": 41, "chroot": 51,
        "mount": 40, "umount2": 39, "swapon": 224, "reboot": 142, "init_module": 105, "delete_module": 106,
        "kexec_load": 104, "add_key": 217, "request_key": 218, "keyctl": 219, "unshare": 97,
        "perf_event_open": 241, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271,
        "finit_module": 273, "seccomp": 277, "bpf": 280, "userfaultfd": 282, "syslog": 116,
        "memfd_create": 279, "kcmp": 272,
    },
}  # fmt: skip
_COMMON = {
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsmount": 432,
    "fspick": 433,
    "clone3": 435,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
    "memfd_secret": 447,
    "fchmodat2": 452,
    "setxattrat": 463,
    "removexattrat": 466,
}
SYSCALLS = _SYSCALLS.get(platform.machine(), {}) | _COMMON


def check(result: int, what: str) -> int:
    """Return `result`; raise `OSError` naming `what` when it is negative."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def syscall(name: str, *args: Any) -> int:
    """Call the system call `name`; raises `OSError`, also where this machine's number is not known."""
    if name not in SYSCALLS:
        raise OSError(errno.ENOSYS, f"{name}: not known on {platform.machine()}")
    return check(LIBC.syscall(ctypes.c_long(SYSCALLS[name]), *args), name)


def prctl(option: int, value: int) -> None:
    """Set one property of this process; elsewhere than on Linux there are none."""
    if sys.platform != "linux":
        return
    check(LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def unshare(flags: int) -> None:
    """Leave the parent's namespaces."""
    check(LIBC.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount `source` on `target`."""
    code = LIBC.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    check(code, f"mount {kind or 'bind'} on {target}")


def read_only(path: str, *, deep: bool = True, devices: bool = False) -> None:
    """Make the mount at `path` (and those below it) read-only, without set-uid programs and devices.

    With `devices` those can still be opened, also to write: only what is known of them stays as it is.
    """
    attributes = struct.pack("=QQQQ", 3 if devices else 7, 0, 0, 0)  # MOUNT_ATTR_RDONLY, _NOSUID, _NODEV
    recursive = 0x8000 if deep else 0  # AT_RECURSIVE
    syscall("mount_setattr", -100, path.encode(), recursive, attributes, ctypes.c_size_t(len(attributes)))


def enter_root(path: str) -> None:
    """Make `path` the root directory and let go of the old one."""
    os.chdir(path)
    syscall("pivot_root", b".", b".")
    check(LIBC.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")


def loopback_up() -> None:
    """Switch the loopback interface on."""
    with socket.socket() as anything:
        fcntl.ioctl(anything, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS, UP | RUNNING


def drop_capabilities(keep: frozenset[int] = frozenset()) -> None:
    """Give up every capability but those in `keep`, for this process and all it starts."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text()) if Path("/proc/sys").exists() else 40
    for capability in range(last + 1):
        if capability not in keep:
            LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused where there is nothing to give up
    mask = sum(1 << capability for capability in keep)
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    check(LIBC.capset(header, struct.pack("=6I", mask, mask, 0, 0, 0, 0)), "capset")


def landlock_version() -> int:
    """The version of Landlock in this kernel; 0 when there is none."""
    try:
        return syscall("landlock_create_ruleset", None, ctypes.c_size_t(0), 1)
    except OSError:
        return 0


_READ = (1 << 0) | (1 << 2) | (1 << 3)  # execute, read file, read directory
_ON_FILES = (1 << 0) | (1 << 1) | (1 << 2) | (1 << 14) | (1 << 15)  # what can be granted on a plain file


def landlock(readable: Iterable[str], writable: Iterable[str], *, network: bool) -> None:
    """From now on open only what is below these paths; without `network` no TCP either.

    Signals and abstract Unix sockets stay among the processes started from here, where the kernel can do it.
    """
    version = landlock_version()
    rights = (1 << 13) - 1
    for since, bit in ((2, 13), (3, 14), (5, 15)):  # refer, truncate, device ioctl
        rights |= (1 << bit) if version >= since else 0
    tcp = 3 if version >= 4 and not network else 0
    scopes = 3 if version >= 6 else 0
    size = 8 if version < 4 else 16 if version < 6 else 24
    attributes = struct.pack("=QQQ", rights, tcp, scopes)[:size]
    rules = syscall("landlock_create_ruleset", attributes, ctypes.c_size_t(size), 0)
    for path in readable:
        _grant(rules, path, _READ & rights)
    for path in writable:
        _grant(rules, path, rights & ~((1 << 6) | (1 << 11)))  # no device nodes
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    syscall("landlock_restrict_self", rules, 0)
    os.close(rules)


def keep_signals_inside() -> bool:
    """From now on this process and those it starts can signal only each other; False where they still can."""
    if landlock_version() < 6:
        return False
    attributes = struct.pack("=QQQ", 0, 0, 2)  # LANDLOCK_SCOPE_SIGNAL
    rules = syscall("landlock_create_ruleset", attributes, ctypes.c_size_t(24), 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    syscall("landlock_restrict_self", rules, 0)
    os.close(rules)
    try:
        os.kill(os.getppid(), 0)
    except PermissionError:
        return True
    return False


def _grant(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no rule
    if not stat.S_ISDIR(os.fstat(place).st_mode):
        rights &= _ON_FILES
    syscall("landlock_add_rule", rules, 1, struct.pack("=Qi", rights, place), 0)
    os.close(place)


class Condition(NamedTuple):
    """That one argument of a call, seen through `mask`, is one of `values`; or none, when not `among`."""

    argument: int
    mask: int
    values: tuple[int, ...]
    among: bool = True


class Rule(NamedTuple):
    """One call is answered with `answer` (an error number; 0 is success without effect), unless all hold."""

    call: str
    answer: int = errno.EPERM
    unless: tuple[Condition, ...] = ()


_DENIED = (
    "ptrace", "pivot_root", "chroot", "mount", "umount2", "swapon", "reboot", "init_module", "delete_module",
    "finit_module", "kexec_load", "add_key", "request_key", "keyctl", "unshare", "perf_event_open", "setns",
    "process_vm_readv", "process_vm_writev", "bpf", "userfaultfd", "pidfd_getfd", "mount_setattr", "syslog",
    "open_tree", "move_mount", "fsopen", "fsmount", "fspick",
)  # fmt: skip
_NESTING = ("mount", "unshare")
# Answered "not there": libraries then take the older way. What a memfd holds no watch over memory sees.
_ABSENT = ("clone3", "io_uring_setup", "memfd_create", "memfd_secret")
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_WHOLE = 0xFFFFFFFF
_NEW_SOMETHING = 0x7E020000  # CLONE_NEW…


def rules(families: tuple[int, ...], *, nesting: bool = False) -> list[Rule]:
    """What every jail refuses: calls that reach around it, and sockets of other `families`.

    With `nesting` further namespaces may be made inside: a test server does so for its children.
    """
    return [
        *(Rule(name, errno.ENOSYS) for name in _ABSENT),
        *(Rule(name) for name in _DENIED if not (nesting and name in _NESTING)),
        Rule("clone", errno.EPERM, (Condition(0, _NEW_SOMETHING, (0,)),)),
        Rule("socket", errno.EAFNOSUPPORT, (Condition(0, _WHOLE, families),)),
    ]


def filter_program(refused: Iterable[Rule]) -> bytes:
    """The BPF program for these rules; a call that this machine has no number for needs none."""
    begin: list[tuple[int, int, int, int]] = [(_LOAD, 4, 0, 0), (_EQUAL, SYSCALLS["arch"], 1, 0)]
    begin += [(_RETURN, _KILL, 0, 0), (_LOAD, 0, 0, 0)]
    if platform.machine() == "x86_64":
        begin += [(_AT_LEAST, 0x40000000, 0, 1), (_RETURN, _ERROR | errno.EPERM, 0, 0)]  # the x32 table
    lines = begin
    for rule in refused:
        if rule.call in SYSCALLS:
            block = _block(rule)
            lines += [(_EQUAL, SYSCALLS[rule.call], 0, len(block)), *block]
    lines.append((_RETURN, _ALLOW, 0, 0))
    return b"".join(struct.pack("=HBBI", code, yes, no, value) for code, value, yes, no in lines)


def _block(rule: Rule) -> list[tuple[int, int, int, int]]:
    """What follows when the call is this one; always ends it, as the number is no longer at hand."""
    refuse = (_RETURN, _ERROR | rule.answer, 0, 0)
    block: list[tuple[int, int, int, int]] = []
    for argument, mask, values, among in rule.unless:
        block += [(_LOAD, 16 + 8 * argument, 0, 0), (_AND, mask, 0, 0)]
        for place, value in enumerate(values):
            left = len(values) - place - 1
            block.append((_EQUAL, value, left + 1, 0) if among else (_EQUAL, value, left, int(not left)))
        block.append(refuse)
    return [*block, (_RETURN, _ALLOW, 0, 0) if rule.unless else refuse]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def seccomp(refused: Iterable[Rule]) -> None:
    """Refuse these calls from now on; raises `OSError` on machines whose numbers are not known."""
    if "arch" not in SYSCALLS:
        raise OSError(errno.ENOSYS, f"seccomp: not known on {platform.machine()}")
    install(filter_program(refused))


def install(program: bytes) -> None:
    """Obey the BPF program `program` from now on."""
    buffer = ctypes.create_string_buffer(program, len(program))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    value = _Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    syscall("seccomp", 1, 0, ctypes.byref(value))
