"""The jail of one candidate inside the jail of its test server: nothing that it writes outlives it.

Copied beside the tests; Python 3.9 or newer, standard library only. The child that the server has forked gets
namespaces of its own, the candidate's files laid over the tree, and then the layers that a cold run has.
"""

# ruff: noqa: PTH102, PTH103, PTH108, PTH109, PTH112, PTH113, PTH114, PTH115, PTH116, PTH118, PTH120, PTH122, PTH123, PTH208
# (strings in, strings out; every millisecond here is one of each candidate's)

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Mapping

import soa_kernel as kernel  # type: ignore[import-not-found]  # kernel.py, under the name of its copy

OWN, LAYER = "/soa", "/soa/layer"
_OVERLAID = ("/tmp", "/soa/home")  # noqa: S108 - of this jail alone; what importing has put there stays visible
_EMPTIED = ("/var/tmp", "/dev/shm", "/soa/ran")  # noqa: S108 - likewise
_DEVICES = tuple(
    f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts")
)
_LOCAL_SOCKETS = (1, 2, 10, 16)  # as in a cold run: all confined by the network namespace
_FILTER = kernel.filter_program(kernel.rules(_LOCAL_SOCKETS))
_ROOT_KEEPS = frozenset({kernel.CAP_CHOWN, kernel.CAP_DAC_OVERRIDE, kernel.CAP_FOWNER})


def enter(tree: str, files: Mapping[str, bytes], megabytes: int, mounted: set[str]) -> None:
    """Move this process into a jail of its own with `files` laid over `tree`; raises `OSError`.

    `mounted` are the `mount_points` of the server's jail.
    """
    here = os.getcwd()
    _own_namespaces()
    kernel.mount("tmpfs", LAYER, "tmpfs", 2 | 4, f"size={megabytes}m,mode=755")
    _overlay(tree, f"{LAYER}/tree")
    for number, place in enumerate((*_OVERLAID, *_EMPTIED)):
        kept = os.listdir(place) if place in _OVERLAID else []
        inner = sorted(point for point in mounted if point.startswith(place + "/"))
        if inner:
            _copy(place, f"{LAYER}/{number}", inner, kept)
        elif kept:
            _overlay(place, f"{LAYER}/{number}")
        elif os.path.isdir(place):
            _empty(place, f"{LAYER}/{number}")
    for name, data in files.items():
        _lay(os.path.join(tree, name), data)
    os.chdir(here)
    _own_files()
    _lock(tree)


def _own_namespaces() -> None:
    user, group = os.getuid(), os.getgid()
    kernel.unshare(kernel.NEW_USER | kernel.NEW_MOUNT | kernel.NEW_IPC)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        number = os.open(f"/proc/self/{name}", os.O_WRONLY)
        try:
            os.write(number, text.encode())
        finally:
            os.close(number)


def _overlay(place: str, layer: str) -> None:
    """Have writes below `place` end in `layer`; the path may hold what separates mount options."""
    for name in ("", "/over", "/work"):
        os.mkdir(layer + name)
    os.chmod(f"{layer}/over", stat.S_IMODE(os.stat(place).st_mode))  # noqa: PTH101 - as above
    os.chdir(place)
    options = f"lowerdir=.,upperdir={layer}/over,workdir={layer}/work,userxattr"
    kernel.mount("overlay", place, "overlay", 2 | 4, options)


def _empty(place: str, layer: str) -> None:
    """Have an empty folder in the place of `place`: one more file system would cost ten times as much."""
    os.mkdir(layer)
    os.chmod(layer, stat.S_IMODE(os.stat(place).st_mode))  # noqa: PTH101 - as above
    kernel.mount(layer, place, "", kernel.MS_BIND)


def mount_points() -> set[str]:
    """Where something is mounted: below a place that is replaced the tree may lie. No overlay holds that."""
    with open("/proc/self/mountinfo", "rb") as file:
        return {os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1")) for line in file}


def _copy(place: str, layer: str, inner: list[str], kept: list[str]) -> None:
    """Have copies of what is `kept` in the place of `place`, with the mounts `inner` where they were."""
    os.mkdir(layer)
    os.chmod(layer, stat.S_IMODE(os.stat(place).st_mode))  # noqa: PTH101 - as above
    ahead = {os.path.relpath(point, place).partition("/")[0] for point in inner}
    for name in kept:
        if name not in ahead:
            _copy_one(os.path.join(place, name), os.path.join(layer, name))
    for point in inner:
        target = os.path.join(layer, os.path.relpath(point, place))
        if not os.path.lexists(target):
            os.makedirs(target if os.path.isdir(point) else os.path.dirname(target), exist_ok=True)
            if not os.path.isdir(point):
                open(target, "wb").close()
        if not any(point.startswith(other + "/") for other in inner):
            kernel.mount(point, target, "", kernel.MS_BIND | kernel.MS_REC)
    kernel.mount(layer, place, "", kernel.MS_BIND | kernel.MS_REC)


def _copy_one(source: str, target: str) -> None:
    if os.path.isdir(source) and not os.path.islink(source):
        shutil.copytree(source, target, symlinks=True)
    elif os.path.islink(source) or os.path.isfile(source):
        shutil.copy2(source, target, follow_symlinks=False)


def _lay(target: str, data: bytes) -> None:
    """Put a file of the candidate into the tree, and take away the byte code of what it replaces."""
    folder, name = os.path.split(target)
    os.makedirs(folder, exist_ok=True)
    mode = 0o644
    with contextlib.suppress(FileNotFoundError):
        mode = stat.S_IMODE(os.stat(target).st_mode)
        os.unlink(target)
    number = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(number, "wb") as file:
        file.write(data)
    stem = os.path.splitext(name)[0]
    cache = os.path.join(folder, "__pycache__")
    for stale in os.listdir(cache) if os.path.isdir(cache) else ():
        if stale.startswith(f"{stem}.") and stale.endswith(".pyc"):
            os.unlink(os.path.join(cache, stale))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, f"{stem}.pyc"))


def _own_files() -> None:
    """Open anew, in this jail, every file that the server holds open: whoever reads or writes it moves the
    server's place in it, and what was open before is not the layer's.
    """
    made: list[tuple[int, int]] = []  # a descriptor of the server's, and our own in its place
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        try:
            state = os.fstat(number)
        except OSError:
            continue  # the one that lists
        if stat.S_ISREG(state.st_mode):
            same = next((ours for theirs, ours in made if _shared(theirs, number)), -1)
            made.append((number, same if same >= 0 else _open_again(number, state.st_nlink == 0)))
    for theirs, ours in made:
        os.dup2(ours, theirs, os.get_inheritable(theirs))
    for ours in {ours for _, ours in made}:
        os.close(ours)


def _shared(one: int, other: int) -> bool:
    """Whether two descriptors are one open file, with one place in it."""
    me = os.getpid()
    try:
        return bool(kernel.syscall("kcmp", me, me, 0, one, other) == 0)
    except OSError:
        return os.path.sameopenfile(one, other)


def _open_again(number: int, nameless: bool) -> int:
    place, flags = os.lseek(number, 0, os.SEEK_CUR), fcntl.fcntl(number, fcntl.F_GETFL)
    if nameless:
        name = f"{LAYER}/{number}.open"
        ours = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.unlink(name)
        with open(f"/proc/self/fd/{number}", "rb") as source, open(ours, "wb", closefd=False) as target:
            shutil.copyfileobj(source, target)
        fcntl.fcntl(ours, fcntl.F_SETFL, flags)
    else:
        ours = os.open(os.readlink(f"/proc/self/fd/{number}"), flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC))
    os.lseek(ours, place, os.SEEK_SET)
    return ours


def _lock(tree: str) -> None:
    kernel.drop_capabilities(_ROOT_KEEPS if os.getuid() == 0 else frozenset())
    if kernel.landlock_version():
        writable = (tree, *_OVERLAID, *_EMPTIED, *_DEVICES)
        kernel.landlock(("/",), writable, network=True)
    kernel.install(_FILTER)
