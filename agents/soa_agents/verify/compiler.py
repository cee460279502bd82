"""Compiles sources of a folder; the text of this file is run by the workspace's interpreter, in the jail.

Nothing of the workspace is imported, and with `-I -S` nothing that it could put before the standard library:
so what is told is the byte code of what lies there. It carries a hash of its source, which every import looks
at again (PEP 552). Python 3.9 or newer, standard library only.
"""

# strings in, strings out:
# ruff: noqa: PTH113, PTH118, PTH119, PTH123, PTH202

from __future__ import annotations

import base64
import importlib.util
import json
import os
import py_compile
import tempfile
import warnings

_MOST = 1 << 20  # bytes of one source


def compiled(name: str, place: str) -> bytes:
    """The byte code of a file, written to `place` on the way; empty where it is too big or says anything."""
    if not os.path.isfile(name) or os.path.getsize(name) > _MOST:
        return b""
    try:
        py_compile.compile(
            name, place, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH
        )
    except Exception:  # whoever imports it meets the error or the warning
        return b""
    with open(place, "rb") as file:
        return file.read()


def main() -> None:
    """Tell a line for each name in the request."""
    lib = os.environ["PYTHONPATH"].partition(os.pathsep)[0]
    with open(os.path.join(lib, "soa_request.json"), encoding="utf-8") as file:
        names = json.load(file)
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as place, open(int(os.environ["SOA_RESULTS"]), "w") as results:
        for name in names:
            data = compiled(name, os.path.join(place, "code.pyc"))
            cache = os.path.basename(importlib.util.cache_from_source(name))
            line = {"path": name, "cache": cache, "data": base64.b64encode(data).decode()}
            results.write(json.dumps(line) + "\n")
            results.flush()


if __name__ == "__main__":
    main()
