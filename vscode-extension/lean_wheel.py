"""Writes a wheel again as small as the whole will pack: `lean_wheel.py WHEEL`.

The wheel is for one .vsix, not for a package index. Left out are the project's README in METADATA and the
hashes in RECORD, which pip does not read and no packer makes smaller. Entries are stored, for all of them
take half the space when they are packed as a whole afterwards.
"""

import csv
import io
import sys
import zipfile


def lean(name: str, data: bytes) -> bytes:
    """What an entry of a wheel holds, without what nobody reads in a private environment."""
    if name.endswith(".dist-info/METADATA"):
        return data.partition(b"\n\n")[0] + b"\n"
    if name.endswith(".dist-info/RECORD"):
        rows = csv.reader(io.StringIO(data.decode()))
        return "".join(f"{row[0]},,\n" for row in rows).encode()
    return data


def main(path: str) -> None:
    """Write the wheel at `path` again."""
    with zipfile.ZipFile(path) as packed:
        entries = [(entry, lean(entry.filename, packed.read(entry))) for entry in packed.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as stored:
        for entry, data in entries:
            stored.writestr(entry, data, zipfile.ZIP_STORED)


if __name__ == "__main__":
    main(sys.argv[1])
