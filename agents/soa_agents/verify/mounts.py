"""A root directory that holds what a test run may see, each thing at its own real path, and nothing else."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from pathlib import Path

from soa_agents.verify import kernel
from soa_agents.verify.plan import OWN, PRIVATE_TMP, Plan
from soa_agents.verify.tree import copy_tree, lay_over

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store")
HARDWARE = ("/sys/devices/system/cpu", "/sys/devices/system/node")
# Of /etc what libraries read; never passwords, host keys or the private keys of certificates.
ETC = tuple(
    f"/etc/{name}"
    for name in (
        *("alternatives", "ca-certificates", "debian_version", "fonts", "gai.conf", "group", "host.conf"),
        *("hostname", "hosts", "inputrc", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias"),
        *("locale.conf", "localtime", "login.defs", "magic", "magic.mime", "mime.types", "nsswitch.conf"),
        *("os-release", "passwd", "pki/ca-trust", "pki/tls/certs", "protocols", "resolv.conf", "services"),
        *("shells", "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone"),
    )
)
_PID_MAX_IS_OF_THE_NAMESPACE = (6, 14)  # since this version of Linux; before it, it is the machine's
DEVICES = ("null", "zero", "full", "random", "urandom")


def build(plan: Plan) -> Path:
    """Assemble the new root below the scratch; the caller is alone in fresh user and mount namespaces.

    Raises `OSError` when the kernel refuses something that the jail cannot do without.
    """
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    root = Path(plan.scratch) / "root"
    root.mkdir()
    _tmpfs(root, 16)
    _own_places(root, plan)
    _devices(root)
    tree = Path(plan.tree)
    for path in sorted({*SYSTEM, *ETC, *HARDWARE, *plan.readable}, key=lambda p: p.count("/")):
        if not Path(path).is_relative_to(tree) and not tree.is_relative_to(path):
            _show(root, Path(path))
    _hide_sockets(root, plan)
    _show_tree(root, plan)
    if plan.source:
        _complete_tree(root, plan)
    for path, target in plan.links:
        link = _inside(root, path)
        if not os.path.lexists(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
    return root


def finish(root: Path, processes: int, *, nesting: bool = False) -> None:
    """Give the new root its process table, move into it and close it. Runs in the new process namespace.

    With `nesting` processes may map themselves into further namespaces: only what steers the machine closes.
    """
    proc = root / "proc"
    try:
        kernel.mount("proc", str(proc), "proc", 2 | 4 | 8)
    except OSError:  # containers mask parts of theirs and then allow no other; Python lives without
        pass
    else:
        _bound(proc, processes)
        _close_process_table(proc, nesting)
    kernel.enter_root(str(root))
    kernel.read_only("/", deep=False)


def _bound(proc: Path, processes: int) -> None:
    """Let no more processes be, where that is a namespace's to set: elsewhere it is the machine's."""
    release = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    if release >= _PID_MAX_IS_OF_THE_NAMESPACE:
        with contextlib.suppress(OSError):  # not an ordinary user's to set, for whom RLIMIT_NPROC holds
            (proc / "sys/kernel/pid_max").write_text(str(max(processes, 301)))


def _close_process_table(proc: Path, nesting: bool) -> None:
    if not nesting:
        kernel.read_only(str(proc))
        return
    for name in os.listdir(proc):  # noqa: PTH208 - names are asked for
        path = proc / name
        if name.isdigit() or path.is_symlink():  # processes; what every process sees of itself
            continue
        if path.is_dir() or path.stat().st_mode & 0o222:
            kernel.mount(str(path), str(path), "", kernel.MS_BIND | kernel.MS_REC)
            kernel.read_only(str(path))


def _inside(root: Path, path: str | Path) -> Path:
    """Where `path` is below the new root. A link in there leads to its target in there, never out of it."""
    place = root
    left = list(Path(path).parts[1:])
    for _ in range(1000):
        if not left:
            return place
        name = left.pop(0)
        if name == "..":
            place = place.parent if place != root else root
        elif left and (place / name).is_symlink():
            target = (place / name).readlink()
            left = [part for part in target.parts if part != "/"] + left
            place = root if target.is_absolute() else place
        else:
            place = place / name
    raise OSError(errno.ELOOP, f"{path}: too many symbolic links")


def _tmpfs(path: Path, megabytes: int, mode: str = "755") -> None:
    path.mkdir(parents=True, exist_ok=True)
    files = max(1024, min(megabytes * 1000, 500_000))  # empty files take memory too
    kernel.mount("tmpfs", str(path), "tmpfs", 2 | 4, f"size={megabytes}m,nr_inodes={files},mode={mode}")


def _own_places(root: Path, plan: Plan) -> None:
    for name in ("proc", "run", "var"):
        (root / name).mkdir()
    _tmpfs(_inside(root, PRIVATE_TMP), max(64, plan.memory_mb // 4), "1777")
    _tmpfs(root / "var/tmp", 64, "1777")
    own = _inside(root, OWN)
    _tmpfs(own, 64)
    for name in ("home", "ran"):
        (own / name).mkdir()
    _bind(Path(plan.scratch) / "lib", own / "lib")


def _hide_sockets(root: Path, plan: Plan) -> None:
    """Put nothing in the place of sockets that somebody listens on beside what may be read.

    A read-only mount does not keep anybody from calling them. Our parent still sees the machine's network.
    """
    found = []
    with contextlib.suppress(OSError):
        table = Path(f"/proc/{os.getppid()}/net/unix").read_text(encoding="utf-8", errors="surrogateescape")
        found = [line.split(maxsplit=7)[7] for line in table.splitlines() if line.count(" /")]
    for folder in plan.readable:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            found += [e.path for e in entries if not (e.is_file() or e.is_dir() or e.is_symlink())]
    for path in dict.fromkeys(found):
        with contextlib.suppress(OSError):
            place = _inside(root, path)
            if place.is_socket():
                kernel.mount(str(root / "dev/null"), str(place), "", kernel.MS_BIND)


def _devices(root: Path) -> None:
    dev = root / "dev"
    _tmpfs(dev, 1)
    for name in DEVICES:
        (dev / name).touch()
        kernel.mount(f"/dev/{name}", str(dev / name), "", kernel.MS_BIND)
        kernel.read_only(str(dev / name), devices=True)  # it is the machine's own: its mode, its times
    _tmpfs(dev / "shm", 512, "1777")
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (dev / name).symlink_to(target)
    (dev / "pts").mkdir()
    try:
        kernel.mount("devpts", str(dev / "pts"), "devpts", 2 | 8, "newinstance,ptmxmode=0666,mode=0620")
    except OSError:
        return  # only tests that open a terminal miss it
    (dev / "ptmx").symlink_to("pts/ptmx")


def _show(root: Path, path: Path) -> None:
    """Make a path of the real system readable at its own place; what does not exist is passed over."""
    place = _inside(root, path)
    if path.is_symlink():
        if not os.path.lexists(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.readlink())
        path = path.resolve()
        place = _inside(root, path)
    if not path.exists() or _shown(root, path):
        return
    _bind(path, place)


def _shown(root: Path, path: Path) -> bool:
    try:
        return _inside(root, path).samefile(path)
    except OSError:
        return False


def _bind(path: Path, place: Path) -> None:
    if path.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    kernel.mount(str(path), str(place), "", kernel.MS_BIND | kernel.MS_REC)
    kernel.read_only(str(place))


def _show_tree(root: Path, plan: Plan) -> None:
    """Present the folder at its own path: writable to the tests, but what they write is gone afterwards."""
    scratch, place = Path(plan.scratch), _inside(root, plan.tree)
    source = Path(plan.source or plan.tree)
    place.mkdir(parents=True, exist_ok=True)
    lower, upper = scratch / "lower", scratch / "upper"
    _bind_aside(source, lower)
    _tmpfs(upper, max(256, plan.memory_mb // 2))
    for name in ("over", "work", "copy"):
        (upper / name).mkdir()
    shutil.copystat(source, upper / "over")
    # Short paths without commas or colons, whatever the folder's own name holds.
    data = f"lowerdir={lower}{_below(plan)},upperdir={upper}/over,workdir={upper}/work,userxattr"
    try:
        kernel.mount("overlay", str(place), "overlay", 2 | 4, data)
    except OSError:
        copy_tree(source, upper / "copy", plan.bytecode)
        kernel.mount(str(upper / "copy"), str(place), "", kernel.MS_BIND)
    lay_over(place, scratch / "candidate", plan.files)


def _complete_tree(root: Path, plan: Plan) -> None:
    """Show what is readable inside the folder and no part of its copy: the machine's own environment."""
    tree, source = Path(plan.tree), Path(plan.source)
    inside = (path for path in map(Path, plan.readable) if path.is_relative_to(tree) and path.exists())
    for path in inside:
        if not os.path.lexists(source / path.relative_to(tree)):
            _bind(path, _inside(root, path))


def _below(plan: Plan) -> str:
    """A further layer: byte code for what has none."""
    if not plan.bytecode or not Path(plan.bytecode).is_dir():
        return ""
    place = Path(plan.scratch) / "bytecode"
    _bind_aside(Path(plan.bytecode), place)
    return f":{place}"


def _bind_aside(path: Path, place: Path) -> None:
    place.mkdir()
    kernel.mount(str(path), str(place), "", kernel.MS_BIND | kernel.MS_REC)
