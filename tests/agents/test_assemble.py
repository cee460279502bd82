"""Pieces become a patch that keeps every byte around them and reads as if a person had made it."""

from __future__ import annotations

import ast
import sysconfig
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soa_agents.swarm.assembly.assemble import Piece, assemble, merge_names, stubs_patch
from soa_agents.swarm.assembly.assemble import tests_patch as patch_of_tests
from soa_agents.swarm.code import Definition, Written, definition, is_stub, same_code
from soa_agents.workspace.functions import dedented, functions, spans
from soa_agents.workspace.ids import FunctionId

PATH = "pkg/mod.py"


def define(source: str, qualname: str = "") -> Definition:
    source = textwrap.dedent(source).strip("\n")
    node = definition(source)
    return Definition(qualname or node.name, source, is_stub(node))


def written(
    source: str, *helpers: Definition, statements: tuple[str, ...] = (), imports: tuple[str, ...] = ()
) -> Written:
    return Written(textwrap.dedent(source).strip("\n"), helpers, statements, imports)


def target(qualname: str, given_: Written) -> Piece:
    function = FunctionId(PATH, qualname)
    return Piece(function, function, False, given_)


def child(qualname: str, anchor: str, given_: Written) -> Piece:
    return Piece(FunctionId(PATH, qualname), FunctionId(PATH, anchor), True, given_)


def assembled(text: str, *pieces: Piece) -> str:
    patch = assemble({PATH: text}, pieces)
    new = patch.apply({PATH: text})
    assert patch.inverse({PATH: text}).apply(new) == {PATH: text}
    ast.parse(new[PATH].removeprefix("\ufeff"))
    return new[PATH]


F = written("def f(x):\n    return x + 1")
HELPED = written("def f(x):\n    return _g(x)", define("def _g(x):\n    return x"))

# name, text before, pieces, text after
CASES = [
    ("a stub", "def f(x):\n    ...\n", [target("f", F)], "def f(x):\n    return x + 1\n"),
    ("on one line", "def f(x): ...\ny = 1\n", [target("f", F)], "def f(x):\n    return x + 1\ny = 1\n"),
    ("without a last line break", "def f(x):\n    ...", [target("f", F)], "def f(x):\n    return x + 1"),
    ("CRLF", "def f(x):\r\n    ...\r\n", [target("f", F)], "def f(x):\r\n    return x + 1\r\n"),
    ("old Mac", "def f(x):\r    ...\r", [target("f", F)], "def f(x):\r    return x + 1\r"),
    ("tabs", "def f(x):\n\tpass\n", [target("f", F)], "def f(x):\n\treturn x + 1\n"),
    ("two blanks", "def f(x):\n  pass\n", [target("f", F)], "def f(x):\n  return x + 1\n"),
    (
        "byte order mark",
        "\ufeffdef f(x):\n    ...\n",
        [target("f", F)],
        "\ufeffdef f(x):\n    return x + 1\n",
    ),
    (
        "form feed",
        "a = 1\n\x0c\ndef f(x):\n    ...\n",
        [target("f", F)],
        "a = 1\n\x0c\ndef f(x):\n    return x + 1\n",
    ),
    (
        "the header as it is laid out",
        "def f(  x ):  # noqa: E201\n    ...\n",
        [target("f", written("def f(  x ):  # noqa: E201\n    return x"))],
        "def f(  x ):  # noqa: E201\n    return x\n",
    ),
    (
        "the docstring as it is laid out",
        'class A:\n    def f(self):\n        """One.\n\n      Two.\n        """\n        pass\n',
        [target("A.f", written('def f(self):\n    """One.\n\n  Two.\n    """\n    return 1'))],
        'class A:\n    def f(self):\n        """One.\n\n      Two.\n        """\n        return 1\n',
    ),
    (
        "strings keep their lines",
        "class A:\n    def f(self):\n        pass\n",
        [target("A.f", written("def f(self):\n    return '''a\n  b\n'''"))],
        "class A:\n    def f(self):\n        return '''a\n  b\n'''\n",
    ),
    (
        "helpers above",
        "import os\n\n\n# About f.\n@cache\ndef f(x):\n    ...\n",
        [target("f", written("@cache\ndef f(x):\n    return _g(x)", define("def _g(x):\n    return x")))],
        "import os\n\n\ndef _g(x):\n    return x\n\n\n# About f.\n@cache\ndef f(x):\n    return _g(x)\n",
    ),
    (
        "above all overloads",
        "x = 1\n\n\n@overload\ndef f(x: int): ...\n@overload\ndef f(x: str): ...\ndef f(x):\n    pass\n",
        [target("f", HELPED)],
        "x = 1\n\n\ndef _g(x):\n    return x\n\n\n"
        "@overload\ndef f(x: int): ...\n@overload\ndef f(x: str): ...\ndef f(x):\n    return _g(x)\n",
    ),
    (
        "blank lines where there were none",
        "a = 1\ndef f(x):\n    ...\n",
        [target("f", HELPED)],
        "a = 1\n\n\ndef _g(x):\n    return x\n\n\ndef f(x):\n    return _g(x)\n",
    ),
    (
        "the file's habit of one blank line",
        "def a():\n    pass\n\ndef b():\n    pass\n\ndef f(x):\n    ...\n",
        [target("f", HELPED)],
        "def a():\n    pass\n\ndef b():\n    pass\n\n"
        "def _g(x):\n    return x\n\ndef f(x):\n    return _g(x)\n",
    ),
    (
        "a Child's code in place of her stub, callees first",
        "def f(x):\n    ...\n",
        [
            target("f", written("def f(x):\n    return _a(x)", define("def _a(x):\n    ..."))),
            child("_a", "f", written("def _a(x):\n    return _b(x)", define("def _b(x):\n    ..."))),
            child("_b", "f", written("def _b(x):\n    return x")),
        ],
        "def _b(x):\n    return x\n\n\ndef _a(x):\n    return _b(x)\n\n\ndef f(x):\n    return _a(x)\n",
    ),
    (
        "methods behind their method",
        "class A:\n    def f(self):\n        ...\n\n    def z(self):\n        pass\n",
        [
            target(
                "A.f",
                written("def f(self):\n    return self._g()", define("def _g(self):\n    return 1", "A._g")),
            )
        ],
        "class A:\n    def f(self):\n        return self._g()\n\n    def _g(self):\n        return 1\n\n"
        "    def z(self):\n        pass\n",
    ),
    (
        "not between a property and its setter",
        "class A:\n    @property\n    def f(self):\n        ...\n\n"
        "    @f.setter\n    def f(self, v):\n        pass",
        [
            target(
                "A.f",
                written(
                    "@property\ndef f(self):\n    return self._g()",
                    define("def _g(self):\n    return 1", "A._g"),
                ),
            )
        ],
        "class A:\n    @property\n    def f(self):\n        return self._g()\n\n"
        "    @f.setter\n    def f(self, v):\n        pass\n\n    def _g(self):\n        return 1",
    ),
    (
        "a helper typed with the class below it",
        "class A:\n    def f(self):\n        ...\n\n\nx = A()\n",
        [
            target(
                "A.f",
                written("def f(self):\n    return _g(self)", define("def _g(a: A) -> int:\n    return 1")),
            )
        ],
        "class A:\n    def f(self):\n        return _g(self)\n\n\n"
        "def _g(a: A) -> int:\n    return 1\n\n\nx = A()\n",
    ),
    (
        "constants and classes above helpers",
        "def f(x):\n    ...\n",
        [
            target(
                "f",
                written(
                    "def f(x):\n    return _g(A)",
                    define("def _g(x):\n    return B"),
                    statements=("A = 1", "B = 2", "class C:\n    pass"),
                ),
            )
        ],
        "A = 1\nB = 2\n\n\nclass C:\n    pass\n\n\n"
        "def _g(x):\n    return B\n\n\ndef f(x):\n    return _g(A)\n",
    ),
    (
        "a nested function",
        "def o(n):\n    def f(x):\n        ...\n    return f\n",
        [target("o.<locals>.f", HELPED)],
        "def _g(x):\n    return x\n\n\ndef o(n):\n    def f(x):\n        return _g(x)\n    return f\n",
    ),
    (
        "imports where their order wants them",
        "import os  # noqa\nfrom typing import (\n    Any,\n)\n\n\ndef f(x):\n    ...\n",
        [
            target(
                "f",
                written(
                    "def f(x):\n    return re", imports=("import re", "import os", "from typing import Any")
                ),
            )
        ],
        "import os  # noqa\nimport re\nfrom typing import (\n    Any,\n)\n\n\ndef f(x):\n    return re\n",
    ),
    (
        "imports behind a docstring",
        '"""Doc."""\n\n\ndef f(x):\n    ...\n',
        [target("f", written("def f(x):\n    return re", imports=("import re",)))],
        '"""Doc."""\n\nimport re\n\n\ndef f(x):\n    return re\n',
    ),
    (
        "imports behind the future",
        '"""Doc."""\nfrom __future__ import annotations\n\n\ndef f(x):\n    ...\n',
        [target("f", written("def f(x):\n    return re", imports=("import re",)))],
        '"""Doc."""\nfrom __future__ import annotations\n\nimport re\n\n\ndef f(x):\n    return re\n',
    ),
    (
        "imports behind the opening comments",
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\ndef f(x):\n    ...\n",
        [target("f", written("def f(x):\n    return re", imports=("import re",)))],
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n\nimport re\n\ndef f(x):\n    return re\n",
    ),
    (
        "imports and helpers at the very start",
        "def f(x):\n    ...\n",
        [
            target(
                "f",
                written(
                    "def f(x):\n    return _g(re)", define("def _g(x):\n    return x"), imports=("import re",)
                ),
            )
        ],
        "import re\n\n\ndef _g(x):\n    return x\n\n\ndef f(x):\n    return _g(re)\n",
    ),
    (
        "imports once, of one source together",
        "import os\n\n\ndef f(x):\n    ...\n",
        [
            target(
                "f",
                written(
                    "def f(x):\n    return x", define("def _g():\n    ..."), imports=("from a import c",)
                ),
            ),
            child(
                "_g", "f", written("def _g():\n    return 1", imports=("from a import b", "from a import c"))
            ),
        ],
        "import os\n\nfrom a import b, c\n\n\ndef _g():\n    return 1\n\n\ndef f(x):\n    return x\n",
    ),
    (
        "an import under try stays as it is",
        "import os\ntry:\n    import simplejson as json\nexcept ImportError:\n    import json\n\n\n"
        "def f(x):\n    ...\n",
        [target("f", written("def f(x):\n    return re", imports=("import re", "import json")))],
        "import os\nimport re\n"
        "try:\n    import simplejson as json\nexcept ImportError:\n    import json\n\n\n"
        "def f(x):\n    return re\n",
    ),
    (
        "wide characters before it",
        's = "äö😀"\n\n\ndef f(x):\n    ...\n',
        [target("f", HELPED)],
        's = "äö😀"\n\n\ndef _g(x):\n    return x\n\n\ndef f(x):\n    return _g(x)\n',
    ),
    (
        "tabs and CRLF and helpers",
        "class A:\r\n\tdef f(self):\r\n\t\tpass\r\n",
        [
            target(
                "A.f",
                written(
                    "def f(self):\n    if 1:\n        return self._g()",
                    define('def _g(self):\n    """G.\n\n    More.\n    """\n    return 1', "A._g"),
                ),
            )
        ],
        "class A:\r\n\tdef f(self):\r\n\t\tif 1:\r\n\t\t\treturn self._g()\r\n\r\n\tdef _g(self):\r\n"
        '\t\t"""G.\r\n\r\n\t\tMore.\r\n\t\t"""\r\n\t\treturn 1\r\n',
    ),
]


ONE = written("def f(self):\n    return 1")
WITH_METHOD = written("def f(self):\n    return self._g()", define("def _g(self):\n    return 1", "A._g"))
TYPED = written("def f(self):\n    return _g(self)", define("def _g(a: A):\n    return 1"))

# What stands behind a stub's placeholder, text before, pieces, text after
PLACEHOLDERS = [
    (
        "a comment",
        "def f(x):\n    pass  # TODO: implement\n",
        [target("f", F)],
        "def f(x):\n    return x + 1\n",
    ),
    ("at the file's end", "def f(x):\n    ...  # to do", [target("f", F)], "def f(x):\n    return x + 1"),
    (
        "a comment on one line",
        "def f(x): ...  # write me\ny = 1\n",
        [target("f", F)],
        "def f(x):\n    return x + 1\ny = 1\n",
    ),
    (
        "what tools read on one line",
        "def f(x): ...  # type: ignore[empty-body]\n",
        [target("f", F)],
        "def f(x):  # type: ignore[empty-body]\n    return x + 1\n",
    ),
    (
        "comments below a docstring",
        'class A:\n    def f(self):\n        """Doc."""\n        # TODO: do\n          # it\n\n    x = 1\n',
        [target("A.f", written('def f(self):\n    """Doc."""\n    return 1'))],
        'class A:\n    def f(self):\n        """Doc."""\n        return 1\n\n    x = 1\n',
    ),
    (
        "CRLF and tabs",
        "class A:\r\n\tdef f(self):\r\n\t\tpass  # to do\r\n\t\t# soon\r\n\t# of A\r\n",
        [target("A.f", ONE)],
        "class A:\r\n\tdef f(self):\r\n\t\treturn 1\r\n\t# of A\r\n",
    ),
    (
        "old Mac",
        "def f(x):\r    pass  # to do\r    # soon\r",
        [target("f", F)],
        "def f(x):\r    return x + 1\r",
    ),
    (
        "comments that are not the stub's",
        "class A:\n    def f(self):\n        ...\n    # About g.\n    def g(self):\n        ...\n\n"
        "        # Apart.\n",
        [target("A.f", ONE), target("A.g", written("def g(self):\n    return 2"))],
        "class A:\n    def f(self):\n        return 1\n    # About g.\n    def g(self):\n        return 2\n\n"
        "        # Apart.\n",
    ),
    (
        "a body's comments stay",
        "def f(x):\n    return 0  # TODO: faster\n    # so it is\n",
        [target("f", F)],
        "def f(x):\n    return x + 1  # TODO: faster\n    # so it is\n",
    ),
    (
        "before a new method",
        "class A:\n    def f(self):\n        pass  # to do\n        # soon\n\n    x = 1\n",
        [target("A.f", WITH_METHOD)],
        "class A:\n    def f(self):\n        return self._g()\n\n    def _g(self):\n        return 1\n\n"
        "    x = 1\n",
    ),
    (
        "before a helper below the class",
        "class A:\n    def f(self):\n        pass  # to do\n        # soon\n\n\nx = A()\n",
        [target("A.f", TYPED)],
        "class A:\n    def f(self):\n        return _g(self)\n\n\ndef _g(a: A):\n    return 1\n\n\nx = A()\n",
    ),
]


@pytest.mark.parametrize(
    ("text", "pieces", "after"), [c[1:] for c in PLACEHOLDERS], ids=[c[0] for c in PLACEHOLDERS]
)
def test_what_stood_for_the_code_goes_with_it(text: str, pieces: list[Piece], after: str) -> None:
    assert assembled(text, *pieces) == after


def test_a_stub_with_comments_is_found_again_by_its_name() -> None:
    text = "def g(x):\n    pass  # to do\n\n\ndef f(x):\n    pass  # to do\n"
    moved = "import os\n\n\ndef f(x):\n    pass  # to do\n\n\ndef g(x):\n    pass  # to do\n"
    patch = assemble({PATH: text}, [target("f", F)]).rebase({PATH: text}, {PATH: moved}, spans)
    assert patch.apply({PATH: moved})[PATH] == moved.replace(
        "def f(x):\n    pass  # to do", "def f(x):\n    return x + 1"
    )


@pytest.mark.parametrize(("text", "pieces", "after"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_patch(text: str, pieces: list[Piece], after: str) -> None:
    assert assembled(text, *pieces) == after


FROM_TYPING = "from typing import (\n    Any,\n    Union,\n)\n"
HEADERS: list[tuple[str, list[str], str]] = [  # a module's head, what is imported, the head then
    ("from b import c\n", ["import re"], "import re\n\nfrom b import c\n"),
    ("# About b.\nimport b\n", ["import re"], "# About b.\nimport re\n\nimport b\n"),
    ("import os\n\n# About b.\nimport b\n", ["import a"], "import os\n\nimport a\n# About b.\nimport b\n"),
    (
        "import os\n\n# Ours.\nimport b\nimport c\n",
        ["import a"],
        "import os\n\nimport a\n# Ours.\nimport b\nimport c\n",
    ),
    (
        "import os\nimport sys\n",
        ["import re", "import abc"],
        "import abc\nimport os\nimport re\nimport sys\n",
    ),
    ("import sys\nimport os\n", ["import re"], "import sys\nimport os\nimport re\n"),
    ("import os\nfrom abc import ABC\n", ["import re"], "import os\nimport re\nfrom abc import ABC\n"),
    ("from abc import ABC\nimport os\n", ["import json"], "from abc import ABC\nimport json\nimport os\n"),
    ("import os\n\nfrom . import a\n", ["import b"], "import os\n\nimport b\n\nfrom . import a\n"),
    ("import os\n", ["from .a import b", "import c"], "import os\n\nimport c\n\nfrom .a import b\n"),
    ("from abc import ABC\n", ["from abc import abstractmethod"], "from abc import ABC, abstractmethod\n"),
    ("from a import b, d\n", ["from a import c, e"], "from a import b, c, d, e\n"),
    (FROM_TYPING, ["from typing import Set"], FROM_TYPING.replace("    U", "    Set,\n    U")),
    (FROM_TYPING, ["from typing import Z"], FROM_TYPING.replace("Union,", "Union,\n    Z,")),
    (
        "from a import (b,\n               d)\n",
        ["from a import c"],
        "from a import (b,\n               c,\n               d)\n",
    ),
    ("from a import b  # noqa\n", ["from a import c"], "from a import b, c  # noqa\n"),
    (
        "from a import (\n    b,  # noqa\n)\n",
        ["from a import c"],
        "from a import (\n    b,  # noqa\n)\nfrom a import c\n",
    ),
    ("from a import *\n", ["from a import c"], "from a import *\nfrom a import c\n"),
    (
        "import a\nsys.path.insert(0, a.b)\nimport z\n",
        ["import c"],
        "import a\nsys.path.insert(0, a.b)\nimport c\nimport z\n",
    ),
    ("import os; import z\n", ["import abc"], "import abc\nimport os; import z\n"),
]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("head", "wanted", "after"), HEADERS)
def test_imports_stand_where_a_person_would_put_them(
    head: str, wanted: list[str], after: str, newline: str
) -> None:
    rest = "\n\ndef f(x):\n    ...\n"
    piece = target("f", written("def f(x):\n    return 1", imports=tuple(wanted)))
    text = (head + rest).replace("\n", newline)
    assert assembled(text, piece) == (after + rest.replace("...", "return 1")).replace("\n", newline)


def test_a_file_broken_elsewhere() -> None:
    text = "import os\n\n\ndef f(x):\n    ...\n\n\ndef broken(:\n    pass\n"
    new = assemble({PATH: text}, [target("f", HELPED)]).apply({PATH: text})[PATH]
    assert new == text.replace(
        "def f(x):\n    ...", "def _g(x):\n    return x\n\n\ndef f(x):\n    return _g(x)"
    )


def test_every_edit_says_what_it_is_about() -> None:
    text = "def f(x):\n    ...\n"
    given_ = written(
        "def f(x):\n    return _g(re)", define("def _g(x):\n    return x"), imports=("import re",)
    )
    edits = assemble({PATH: text}, [target("f", given_)]).edits
    assert [(each.group, each.function) for each in edits] == [
        ("import", ""),
        ("helper", "_g"),
        ("target", "f"),
    ]
    assert edits[-1].replaced


def test_several_files_and_one_target_twice() -> None:
    other = Piece(FunctionId("b.py", "h"), FunctionId("b.py", "h"), False, written("def h():\n    return 2"))
    texts = {PATH: "def f(x): ...\n", "b.py": "def h(): ...\n"}
    new = assemble(texts, [target("f", F), other, other]).apply(texts)
    assert new == {PATH: "def f(x):\n    return x + 1\n", "b.py": "def h():\n    return 2\n"}


def test_what_only_a_second_version_needs_is_left_out() -> None:
    """Two agents wrote the same function of the workspace: nothing of the later one's helpers remains."""
    place, text = FunctionId(PATH, "f"), "def f(x):\n    ...\n"
    helped = written("def f(x):\n    return _g(x)", define("def _g(x):\n    ..."))
    pieces = [
        Piece(place, place, False, F, "a>f", "a"),
        Piece(place, place, False, helped, "b>f", "b"),
        Piece(FunctionId(PATH, "_g"), place, True, written("def _g(x):\n    return x"), "b>f/_g", "b>f"),
    ]
    assert assembled(text, *pieces) == "def f(x):\n    return x + 1\n"


TWO = "def f(x):\n    ...\n\n\ndef g(x):\n    ...\n"


def test_the_same_helper_of_two_agents_is_written_once() -> None:
    pieces = [
        target(n, written(f"def {n}(x):\n    return _h(x)", define("def _h(x):\n    return 1"))) for n in "fg"
    ]
    assert assembled(TWO, *pieces).count("def _h(") == 1


def test_two_helpers_of_one_name_get_two() -> None:
    pieces = [
        target("f", written("def f(x):\n    return _h(x)", define("def _h(x):\n    ..."))),
        child("_h", "f", written("def _h(x):\n    return 1")),
        target(
            "g",
            written(
                "def g(x):\n    return f'{_h(x)}' + x._h",
                define('def _h(x):\n    """H.\n\n    >>> _h(1)\n    2\n    """\n    ...'),
            ),
        ),
        child(
            "_h",
            "g",
            written(
                'def _h(x):\n    """H.\n\n    >>> _h(1)\n    2\n    """\n    return _h(x - 1) if x else 2'
            ),
        ),
    ]
    new = assembled(TWO, *pieces)
    assert "def _h(x):\n    return 1" in new
    assert "return f'{_h_2(x)}' + x._h" in new.replace("x._h_2", "x._h")
    assert 'def _h_2(x):\n    """H.\n\n    >>> _h_2(1)\n' in new and "return _h_2(x - 1)" in new


def test_methods_and_constants_of_one_name() -> None:
    text = "class A:\n    def f(self): ...\n\n    def g(self): ...\n"
    pieces = [
        target(
            f"A.{n}",
            written(
                f"def {n}(self):\n    return self._h(LIMIT)",
                define(f"def _h(self, n):\n    return {i}", "A._h"),
                statements=(f"LIMIT = {i}",),
            ),
        )
        for i, n in enumerate("fg")
    ]
    new = assembled(text, *pieces)
    assert "return self._h(LIMIT)" in new and "return self._h_2(LIMIT_2)" in new
    assert "LIMIT = 0\nLIMIT_2 = 1\n" in new and "def _h_2(self, n):\n        return 1" in new


def test_a_new_name_is_free_in_the_file() -> None:
    pieces = [
        target(n, written(f"def {n}(x):\n    return _h(x)", define(f"def _h(x):\n    return '{n}'")))
        for n in "fg"
    ]
    new = assembled(TWO + "\n\ndef _h_2():\n    pass\n", *pieces)
    assert "def _h_3(x):\n    return 'g'" in new


def test_merging_changes_nothing_without_a_clash() -> None:
    pieces = (target("f", HELPED), target("g", F))
    assert merge_names(pieces) == pieces


STUB = define('def w(u: str) -> int:\n    """W.\n\n    Well.\n    """\n    ...')


@pytest.mark.parametrize(
    ("text", "place", "stub", "after"),
    [
        ('"""M."""\n', "<module>", STUB, '"""M."""\n\nimport re\n\n\n{}\n'),
        ('"""M."""', "<module>", STUB, '"""M."""\n\nimport re\n\n\n{}\n'),
        ('"""M."""\nimport re\n\nx = 1\n', "<module>", STUB, '"""M."""\nimport re\n\nx = 1\n\n\n{}\n'),
        (
            'import re\n\n\nclass A:\n    """A."""\n\n\ny = 1\n',
            "A",
            define(STUB.source, "A.w"),
            'import re\n\n\nclass A:\n    """A."""\n\n{:4}\n\n\ny = 1\n',
        ),
        (
            'import re\n\n\ndef f():\n    """F."""\n\n\ny = 1\n',
            "f",
            STUB,
            'import re\n\n\ndef f():\n    """F."""\n\n\n{}\n\n\ny = 1\n',
        ),
    ],
    ids=["module", "no last line break", "module with code", "class", "function"],
)
def test_stubs(text: str, place: str, stub: Definition, after: str) -> None:
    patch = stubs_patch(text, PATH, place, [stub], ["import re"])
    new = patch.apply({PATH: text})[PATH]
    body = textwrap.indent(stub.source, "    ") if "{:4}" in after else stub.source
    assert new == after.replace("{:4}", "{}").replace("{}", body)
    assert patch.inverse({PATH: text}).apply({PATH: new})[PATH] == text
    assert {each.id.qualname: each.is_stub for each in functions(PATH, new)}[stub.qualname]


def test_stubs_need_a_docstring() -> None:
    with pytest.raises(KeyError):
        stubs_patch("x = 1\n", PATH, "<module>", [STUB], [])


def test_tests_in_a_new_file_and_at_the_end_of_one() -> None:
    source = "import pytest\nfrom m import f\n\n\ndef test_f():\n    assert f() == 1"
    made = patch_of_tests("tests/test_m.py", None, source)
    assert made.created == ("tests/test_m.py",) and made.apply({}) == {"tests/test_m.py": source + "\n"}
    old = "import pytest\n\n\ndef test_f():\n    pass\n"
    patch = patch_of_tests("tests/test_m.py", old, source)
    assert patch.apply({"tests/test_m.py": old})["tests/test_m.py"] == (
        "import pytest\nfrom m import f\n\n\ndef test_f():\n    pass\n\n\n"
        "def test_f_2():\n    assert f() == 1\n"
    )
    assert {each.group for each in patch.edits} == {"tests"}


# --- invariants

BODIES = [
    "return x",
    "if x:\n    return 1\nreturn 2",
    "y = '''a\n  b\n\tc\n'''\nreturn y",
    'return f"""{x}\n{_g(x)}\n"""',
    "return (x +\n  1)",
    "# a comment\nfor i in x:\n    # another\n    pass\nreturn 'äö😀'",
]
AROUND = [
    "",
    "import os\n\n",
    '"""Doc: ä."""\n',
    "#!/usr/bin/env python\n",
    "# About.\n\nx = 1\n",
    "x = '''\n  é\n'''\n\n\n",
]
SHELLS = [
    ("{}", "f", ""),
    ("class A:\n{}", "A.f", "    "),
    ("class A:\n    class B:\n        y = 1\n\n{}", "A.B.f", "        "),
    ("if True:\n{}", "f", "    "),
    ("def o():\n    z = 1\n{}\n    return f", "o.<locals>.f", "    "),
]
STUBS = [
    "def f(x): ...",
    "def f(x):\n    pass",
    '@d(1)\n@e\ndef f(x):\n    """Doc.\n\n    >>> f(1)\n    """\n    raise NotImplementedError',
    'async def f(\n    x,\n):  # noqa\n    # about\n    """Doc."""',
]


@st.composite
def files(draw: st.DrawFn) -> tuple[str, Piece]:
    """A file in one of many shapes, and a piece for a function in it."""
    shell, qualname, indent = draw(st.sampled_from(SHELLS))
    stub, body = draw(st.sampled_from(STUBS)), draw(st.sampled_from(BODIES))
    text = (
        draw(st.sampled_from(AROUND))
        + shell.format(textwrap.indent(stub, indent))
        + draw(st.sampled_from(["", "\n", "\n\n\nz = 2  # end\n"]))
    )
    if draw(st.booleans()):
        text = text.replace("    ", "\t")
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n", "\r"])))
    text = draw(st.sampled_from(["", "\ufeff"])) + text
    function = next(each for each in functions(PATH, text) if each.id.qualname == qualname)
    header = (
        dedented(text, function).partition("    ...")[0]
        if function.docstring is None
        else dedented(text, function)
    )
    node = definition(header if "\n" in header or header.endswith("...") else header + " ...")
    node.body = [
        *(node.body[:1] if ast.get_docstring(node) else []),
        *ast.parse(f"def g():\n{textwrap.indent(body, '    ')}").body[0].body,
    ]
    helpers = draw(st.sampled_from([(), (define("def _g(x):\n    return '''\n  x'''"),)]))
    imports = draw(st.sampled_from([(), ("import re", "from typing import Any")]))
    return text, target(qualname, Written(ast.unparse(node), helpers, (), imports))


@settings(max_examples=300, deadline=None)
@given(files())
def test_what_was_written_stands_in_the_file_and_nothing_else_moved(case: tuple[str, Piece]) -> None:
    text, piece = case
    patch = assemble({PATH: text}, [piece])
    new = assembled(text, piece)
    found = {each.id.qualname: each for each in functions(PATH, new)}
    assert same_code(
        definition(dedented(new, found[piece.function.qualname])), definition(piece.written.source)
    )
    for helper in piece.written.helpers:
        assert same_code(definition(dedented(new, found[helper.qualname])), definition(helper.source))
    kept, done = "", 0
    for edit in patch.edits:
        kept, done = kept + text[done : edit.start], edit.end
    kept += text[done:]
    position = 0
    for edit in patch.edits:  # the same characters once the edits' own are taken out of the new text
        position = new.index(edit.new, position) if edit.new else position
        new = new[:position] + new[position + len(edit.new) :]
    assert new == kept
    assert "\r\n" not in text or "\n" not in new.replace("\r\n", "")


def test_a_functions_own_code_put_back_changes_nothing() -> None:
    root = Path(sysconfig.get_paths()["stdlib"])
    names = [
        "argparse.py",
        "textwrap.py",
        "dataclasses.py",
        "json/decoder.py",
        "functools.py",
        "enum.py",
        "zipfile.py",
    ]
    changed = 0
    for name in names:
        text = (root / name).read_bytes().decode()
        for function in functions(name, text)[::12]:
            given_ = Written(dedented(text, function))
            piece = Piece(FunctionId(name, function.id.qualname), function.id, False, given_)
            new = assemble({name: text}, [piece]).apply({name: text})[name]
            assert new == text, function.id
            changed += 1
    assert changed > 30
