"""The launcher: builds the jail around itself, then becomes the command. Standard library only.

    engine ── launcher (own session; dies with the engine)
              └─ builder (new namespaces, mounts)
                 └─ first process of the new process table: when it ends the kernel ends all the others
                    └─ the command, without capabilities, behind Landlock and seccomp

It is run by SoA's own interpreter, so the workspace's interpreter itself starts inside the jail. A jail that
cannot be built is never entered: the launcher says why on standard error and exits with `REFUSED`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from soa_agents.verify import bare, kernel, mounts, reaper
from soa_agents.verify.plan import COPIED, LAYER, OWN, PRIVATE_TMP, REFUSED, Plan
from soa_agents.verify.tree import copy_tree, lay_over

_LOCAL_SOCKETS = (1, 2, 10, 16)  # unix, inet, inet6, netlink: all confined by the network namespace
_OFTEN, _SELDOM = (
    0.05,
    0.2,
)  # seconds between two looks at how many processes there are; a server mostly idles
_ROOT_KEEPS = frozenset({kernel.CAP_CHOWN, kernel.CAP_DAC_OVERRIDE, kernel.CAP_FOWNER})


def main(plan_file: str) -> NoReturn:
    """Run the plan in `plan_file`; ends with the command's exit status."""
    plan = Plan.load(Path(plan_file))
    reaper.listen()
    try:
        {"namespaces": _in_namespaces, "landlock": _behind_landlock, "scrubbed": _scrubbed}[plan.layer](plan)
    except OSError as problem:
        _refuse(problem)
    raise AssertionError("unreachable")


def _refuse(problem: OSError) -> NoReturn:
    os.write(2, f"the sandbox could not be built: {problem}\n".encode())
    reaper.tell(REFUSED)


def _in_namespaces(plan: Plan) -> NoReturn:
    ready, allowed = os.pipe(), os.pipe()
    builder = _fork(lambda: _builder(plan, ready[1], *allowed))

    def deserted() -> None:
        os.kill(builder, signal.SIGKILL)  # the kernel then ends everything inside the namespaces
        os.wait()
        _clear(plan)

    _die_with_engine(plan, deserted)
    os.close(ready[1])
    if os.read(ready[0], 1):
        _map_users(builder)
        os.write(allowed[1], b"x")
    reaper.leave(reaper.ended(builder))


def _map_users(pid: int) -> None:
    """Let the builder be who we are; for root everybody keeps their number, so that files do too."""
    user, group = os.getuid(), os.getgid()
    place = Path(f"/proc/{pid}")
    if user == 0:
        try:
            (place / "uid_map").write_text("0 0 4294967295\n")
            (place / "gid_map").write_text("0 0 4294967295\n")
        except OSError:
            pass  # root of a container that has itself only a part of the numbers
        else:
            return
    (place / "setgroups").write_text("deny")
    (place / "uid_map").write_text(f"{user} {user} 1\n")
    (place / "gid_map").write_text(f"{group} {group} 1\n")


def _builder(plan: Plan, ready: int, allowed: int, launchers: int) -> NoReturn:
    os.close(launchers)  # the launcher's end: were it open here as well, its death would leave us waiting
    kernel.unshare(kernel.ALL_NEW)
    os.write(ready, b"x")
    if not os.read(allowed, 1):
        os._exit(REFUSED)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.close(ready)
    os.close(allowed)
    kernel.loopback_up()
    root = mounts.build(plan)
    os._exit(reaper.ended(_fork(lambda: _first_process(plan, root))))


def _first_process(plan: Plan, root: Path) -> NoReturn:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    mounts.finish(root, plan.processes, nesting=plan.requests >= 0)
    worker = _fork(lambda: _worker(plan))
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    reaper.watch_over(worker, plan.crowd, _SELDOM if plan.requests >= 0 else _OFTEN)


def _worker(plan: Plan) -> NoReturn:
    """The command's own process: the last layers, then the command."""
    os.setsid()
    os.chdir(plan.tree)
    _limit(plan)
    if plan.requests >= 0:
        _become_server(plan)
    kernel.drop_capabilities(_ROOT_KEEPS if os.getuid() == 0 else frozenset())
    if kernel.landlock_version():
        writable = (plan.tree, OWN, PRIVATE_TMP, "/dev")
        kernel.landlock(("/",), writable, network=True)
    with contextlib.suppress(OSError):  # a further layer; machines it does not know still have the others
        kernel.seccomp(kernel.rules(_LOCAL_SOCKETS))
    _become(plan)


def _become_server(plan: Plan) -> NoReturn:
    """A test server: Landlock and the whole filter come with each child, which first makes its own mounts.

    Root may map itself into a child's namespace only with CAP_SETFCAP; here it sets nothing else free.
    """
    keeps = _ROOT_KEEPS | {kernel.CAP_SETFCAP} if os.getuid() == 0 else frozenset[int]()
    kernel.drop_capabilities(keeps)
    Path(LAYER).mkdir()
    kernel.seccomp(kernel.rules(_LOCAL_SOCKETS, nesting=True))
    _become(plan)


def _behind_landlock(plan: Plan) -> NoReturn:
    """Without namespaces: a private copy of the tree, no network, processes gathered by us.

    Between us and the command stands one that can signal nobody but what it has started: it ends all of that
    at once, which nobody who has to look for it could.
    """
    tree = _copied(plan)

    def worker() -> NoReturn:
        os.setsid()
        os.chdir(tree)
        _limit(plan)
        devices = [f"/dev/{name}" for name in mounts.DEVICES]  # terminals, /dev/shm are also the person's
        own = [str(tree), *(f"{plan.scratch}/{name}" for name in ("home", "ran", "tmp")), *devices]
        readable = (*mounts.SYSTEM, *mounts.ETC, *mounts.HARDWARE, *plan.readable, f"{plan.scratch}/lib")
        kernel.drop_capabilities()
        kernel.landlock(readable, own, network=False)
        kernel.seccomp(bare.refused(kernel.landlock_version()))
        _become(plan)

    def guardian() -> NoReturn:
        if kernel.keep_signals_inside():
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
            reaper.watch_over(_fork(worker), plan.crowd, _OFTEN)
        worker()

    _gather(plan, guardian)


def _scrubbed(plan: Plan) -> NoReturn:
    """With a person's consent only: a private copy, a clean environment, nothing left running."""
    tree = _copied(plan)

    def worker() -> NoReturn:
        os.setsid()
        os.chdir(tree)
        _limit(plan)
        _become(plan)

    _gather(plan, worker)


def _copied(plan: Plan) -> Path:
    scratch = Path(plan.scratch)
    for name in ("home", "ran", "tmp"):
        (scratch / name).mkdir()
    tree = scratch / "tree"
    copy_tree(Path(plan.tree), tree, plan.bytecode)
    lay_over(tree, scratch / "candidate", plan.files)
    (scratch / COPIED).touch()
    return tree


def _gather(plan: Plan, worker: Callable[[], NoReturn]) -> NoReturn:
    """Run `worker`; when it ends, or we are told to, end everything that it started."""
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)

    child = 0

    def deserted() -> None:
        reaper.end_all(child)
        _clear(plan)

    _die_with_engine(plan, deserted)
    child = _fork(worker)
    while True:
        pid, status = os.wait()
        if pid == child:
            reaper.end_all(child)
            reaper.leave(reaper.exit_code(status))


def _die_with_engine(plan: Plan, deserted: Callable[[], None]) -> None:
    """Call `deserted` once when the engine ends or asks for the end; then nobody else clears up."""

    def told(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the signal comes once for each thread of the engine
        deserted()

    signal.signal(signal.SIGTERM, told)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != plan.engine:
        told()


def _clear(plan: Plan) -> NoReturn:
    end = time.monotonic() + 2.5
    while os.path.exists(plan.scratch) and time.monotonic() < end:  # noqa: PTH110
        shutil.rmtree(plan.scratch, ignore_errors=True)  # what the kernel still ends may write meanwhile
    os._exit(128 + signal.SIGTERM)


def _limit(plan: Plan) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = min(plan.memory_mb, 1024) << 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    # Outside a user namespace the limit counts the person's other processes, so it is set beyond them.
    processes = plan.processes + (0 if plan.layer == "namespaces" else reaper.threads())
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if plan.layer != "scrubbed" and (hard == resource.RLIM_INFINITY or processes < hard):
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


def _become(plan: Plan) -> NoReturn:
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)  # whoever started us may ignore it (nohup); tests do not
    # The results pipe was passed on purpose; everything else that is open closes itself on exec.
    try:
        os.execve(plan.argv[0], plan.argv, plan.env)  # noqa: S606 - the whole point of this program
    except OSError as problem:
        os.write(2, f"error: {plan.argv[0]} does not start: {problem.strerror}\n".encode())
        os._exit(127)


def _fork(child: Callable[[], NoReturn]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        child()
    except OSError as problem:
        _refuse(problem)
    except BaseException as problem:  # nothing may run on in the launcher's name
        _refuse(OSError(0, repr(problem)))
    raise AssertionError("unreachable")
