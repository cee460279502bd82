"""Which files of a workspace spell a name: eight bytes a name and file, for there are millions."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable

_ROWS = 4096  # told by the lowest bits of a name's hash
_FILE = 2**24 - 1  # the bits that number a file; those above are the hash's
_HASH = 2**64 - 1 - _FILE


class Spelled:
    """The files by the names they spell. Read-only once made.

    Now and then, for names whose hashes are alike, a file is named that does not spell the name.
    """

    def __init__(self, spelled: Iterable[tuple[str, str]]) -> None:
        """`spelled` gives path and names, as `facts.spelled_in` does."""
        self.aliases: defaultdict[str, set[str]] = defaultdict(set)  # what imports call something of a name
        self._paths: list[str] = []
        self._rows = rows = [array("Q") for _ in range(_ROWS)]
        for number, (path, said) in enumerate(spelled):
            self._paths.append(path)
            names = said.split(" ")
            if "=" in said:
                names = self._without_aliases(names)
            for code in map(hash, names):
                rows[code % _ROWS].append(code & _HASH | number)

    def files(self, name: str) -> list[str]:
        """The files that spell a name, in the order given."""
        code = hash(name)
        wanted = code & _HASH
        return [self._paths[each & _FILE] for each in self._rows[code % _ROWS] if each & _HASH == wanted]

    def _without_aliases(self, names: list[str]) -> list[str]:
        for each in names:
            if "=" in each:
                name, _, alias = each.partition("=")
                self.aliases[name].add(alias)
        return [each for each in names if "=" not in each]
