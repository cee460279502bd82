"""What the launcher is told: one jailed command as plain values. Standard library only, it is read inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, NamedTuple

Layer = Literal["namespaces", "landlock", "scrubbed"]

REFUSED = 121  # the launcher's exit status: the jail could not be built, nothing was run
CROWDED = 122  # likewise: ended because it started too many processes
COPIED = "copied"  # the launcher's sign in the scratch that the private copy of the tree is complete
OWN = "/soa"  # inside namespaces: home, what ran, and the plugin; elsewhere the same names are in the scratch
PRIVATE_TMP = "/tmp"  # noqa: S108 - inside namespaces a file system of the run alone
PLUGIN = "soa_pytest_plugin"
RECORDER = "soa_recorder"
REQUEST = "soa_request.json"
FAILURES = "soa_failures"
CLOCK = "soa_clock"
SERVER = "soa_test_server"
CHILDREN = "soa_children"
LISTING = "soa_listing"
GROUND = "soa_ground"
SOUNDNESS = "soa_soundness"
SWAPPING = "soa_swapping"
KERNEL = "soa_kernel"
LAYERS = "soa_layers"
LAYER = f"{OWN}/layer"  # where the child of a test server mounts what it writes to


class Plan(NamedTuple):  # not a dataclass: those load a megabyte that each launcher would hold
    """One command in a jail.

    `tree` is the real folder that the command sees with the files of `scratch`/candidate laid over it;
    namespaces can show another one, `source`, in its place. The folder `bytecode` lies below it.
    `readable` are further paths that may be read, `links` symbolic links to be there as (path, target).
    `memory_mb` bounds what the private file systems hold, `processes` how many (with their threads) can be
    alive at once; with more than `crowd`, threads not counted, it is ended. `engine` is the process that the
    launcher does not outlive. A command that takes requests (a test server, `requests` is its pipe) gives its
    children a jail of their own inside.
    """

    layer: Layer
    argv: tuple[str, ...]
    env: dict[str, str]
    tree: str
    scratch: str
    readable: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    results: int = -1
    requests: int = -1
    bytecode: str = ""
    memory_mb: int = 4096
    processes: int = 1024
    crowd: int = 256
    engine: int = 0
    source: str = ""

    def save(self, path: Path) -> None:
        """Write the plan where the launcher will read it."""
        path.write_text(json.dumps(self._asdict()), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read what `save` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        values["links"] = tuple((a, b) for a, b in values["links"])
        for name in ("argv", "readable", "files"):
            values[name] = tuple(values[name])
        return cls(**values)
