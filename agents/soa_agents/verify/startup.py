"""Copied beside the tests as `sitecustomize.py`: records in processes that tests start, then hands over.

Python 3.9 or newer, standard library only. The process that runs pytest is told apart by its results pipe;
a test server records from its first import.
"""

# pathlib would slow down the start of every process that a test starts:
# ruff: noqa: PTH100, PTH120

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import PathFinder

_COLLECTS = "SOA_REQUESTS" in os.environ and "SOA_FRESH" not in os.environ  # a test server


def _mend_paths(moved: str) -> None:
    """Where the tree is a copy, lead import paths and editable installs from the real tree to it."""
    real, _, copy = moved.partition("\n")

    def mended(path: str) -> str:
        inside = isinstance(path, str) and (path == real or path.startswith(real + os.sep))
        kept = inside and any(part in path for part in ("site-packages", "dist-packages"))
        return copy + path[len(real) :] if inside and not kept else path

    sys.path[:] = [mended(path) for path in sys.path]
    for finder in sys.meta_path:
        mapping = getattr(sys.modules.get(getattr(finder, "__module__", "")), "MAPPING", None)
        if isinstance(mapping, dict):
            mapping.update({name: mended(path) for name, path in mapping.items()})


def _record() -> None:
    import soa_recorder  # type: ignore[import-not-found]  # recorder.py, under the name of its copy

    owner = os.getpid() if _COLLECTS else None
    recorder = soa_recorder.Recorder(os.environ["SOA_ROOT"], os.environ["SOA_RAN"], owner)
    recorder.start()
    soa_recorder.early = recorder


def _hand_over() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    others = [path for path in sys.path if os.path.abspath(path or ".") != here]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


if "SOA_MOVED" in os.environ:
    _mend_paths(os.environ["SOA_MOVED"])
if os.environ.get("SOA_RAN") and ("SOA_RESULTS" not in os.environ or _COLLECTS):
    _record()
_hand_over()
