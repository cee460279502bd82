"""What Landlock alone leaves open, closed by refusing the calls. Standard library only.

Without namespaces a run shares the machine's processes, shared memory and files. Landlock keeps files closed,
but not their modes, owners and times; it knows nothing of memory shared by number, of limits and priorities,
and before its sixth version nothing of signals.
"""

from __future__ import annotations

import errno
import platform
import socket

from soa_agents.verify.kernel import SYSCALLS, Condition, Rule, rules

NEEDED = 3  # Landlock's version; before it a file that may only be read could still be emptied
SIGNALS = 6  # since this version signals stay among the processes of the run

# Answered "done" without being done: programs that copy and unpack files go on, nobody's files change.
_PRETENDED = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "utime", "utimes",
    "futimesat", "utimensat",
)  # fmt: skip
_REFUSED = (
    "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "setxattrat",
    "removexattrat", "shmget", "shmat", "shmctl", "semget", "semop", "semctl", "semtimedop", "msgget",
    "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink",
)  # fmt: skip
_OWN_ONLY = ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr")
_SIGNALS = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal")
_NUMBERS = {
    "x86_64": {
        "ioctl": 16,
        "shmget": 29, "shmat": 30, "shmctl": 31, "socketpair": 53, "kill": 62, "semget": 64, "semop": 65,
        "semctl": 66, "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "fcntl": 72, "chmod": 90,
        "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "rt_sigqueueinfo": 129, "utime": 132,
        "setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144, "setxattr": 188,
        "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199,
        "tkill": 200, "sched_setaffinity": 203, "semtimedop": 220, "tgkill": 234, "utimes": 235,
        "mq_open": 240, "mq_unlink": 241, "ioprio_set": 251, "fchownat": 260, "futimesat": 261,
        "fchmodat": 268, "utimensat": 280, "rt_tgsigqueueinfo": 297, "prlimit64": 302, "sched_setattr": 314,
    },
    "aarch64": {
        "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15,
        "fremovexattr": 16, "fcntl": 25, "ioctl": 29,
        "ioprio_set": 30, "fchmod": 52, "fchmodat": 53, "fchownat": 54,
        "fchown": 55, "utimensat": 88, "sched_setparam": 118, "sched_setscheduler": 119,
        "sched_setaffinity": 122, "kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138,
        "setpriority": 140, "mq_open": 180, "mq_unlink": 181, "msgget": 186, "msgctl": 187, "msgrcv": 188,
        "msgsnd": 189, "semget": 190, "semctl": 191, "semtimedop": 192, "semop": 193, "shmget": 194,
        "shmctl": 195, "shmat": 196, "socketpair": 199, "rt_tgsigqueueinfo": 240, "prlimit64": 261,
        "sched_setattr": 274,
    },
}  # fmt: skip
_WHOLE = 0xFFFFFFFF
_HAVE_SIGNALS_SENT = {"fcntl": (8, 10, 15), "ioctl": (0x8901, 0x8902)}  # F_SETOWN, F_SETSIG, …; FIOSETOWN, …


def refused(landlock: int) -> list[Rule]:
    """All that a run behind version `landlock` of Landlock alone is refused.

    Raises `OSError` where that version is too old to hold.
    """
    if landlock < NEEDED:
        raise OSError(errno.ENOSYS, f"Landlock {landlock} is too old to keep files whole, {NEEDED} is needed")
    SYSCALLS.update(_NUMBERS.get(platform.machine(), {}))
    itself = Condition(0, _WHOLE, (0,))
    connected = Condition(1, 0xF, (int(socket.SOCK_STREAM), int(socket.SOCK_SEQPACKET)))
    found = [
        *rules(()),
        *(Rule(name, 0) for name in _PRETENDED),
        *(Rule(name) for name in _REFUSED),
        *(Rule(name, errno.EPERM, (itself,)) for name in _OWN_ONLY),
        *(Rule(n, errno.EPERM, (itself, Condition(1, _WHOLE, (0,)))) for n in ("setpriority", "ioprio_set")),
        Rule("socketpair", errno.EPERM, (connected,)),  # datagrams could be sent to anybody's socket
    ]
    if landlock < SIGNALS:
        found += [Rule(name) for name in _SIGNALS]
        for call, commands in _HAVE_SIGNALS_SENT.items():
            found.append(Rule(call, errno.EPERM, (Condition(1, _WHOLE, commands, among=False),)))
    return found
