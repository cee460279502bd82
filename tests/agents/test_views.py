"""What a step may see: what matters about the function, within the context whatever the workspace."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_cases import CASES, CHILD, INVOICE, METHOD, ROOT, TESTS, TEXTS, ask, fresh, grown, state, viewer
from soa_agents.models.port import Prompt
from soa_agents.swarm.events import Target
from soa_agents.swarm.views.skim import brief, head, skim
from soa_agents.swarm.views.view import Viewer, explain, tokens
from soa_agents.verify.report import Report, TestResult


def size(prompt: Prompt) -> int:
    return sum(tokens(message.content) for message in prompt.messages)


SEEN = {  # case -> section -> what it says, and what it must not say
    "skeleton": {
        "header": (["from shop.money import round_half_up", "FREE_FROM = 50_00  # cents"], ["Basket"]),
        "types": (["class Line:", 'count: str = "1 pc"'], []),
        "siblings": (
            ["def net(lines: list[Line]) -> int:", "class Basket: ...  # What somebody wants"],
            ["def total_due", "class Line"],
        ),
        "imported": (["# shop.money", "def round_half_up(value: float) -> int"], []),
        "useful": (["def total_in_words"], ["round_half_up"]),
        "callers": (["# shop/report.py::summary", "due = total_due(lines, 0.19)"], []),
        "tests": (["def test_nothing_costs_nothing", 'parametrize("rate"'], ["TestBasket"]),
        "tests_apart": (["RATE = 0.19", "def lines():"], ["unrelated"]),
        "spec": (["def total_due(lines: list[Line], rate: float) -> int:"], []),
        "notes": (["Docstrings are plain"], ["make"]),
    },
    "skeleton_of_a_method": {
        "owner": (
            [
                "class Basket:",
                "limit = 10",
                "def __init__(self, owner: str)",
                "self.lines.append",
                "in question",
            ],
            ["self.limit"],
        ),
        "spec": ([], ["is_full"]),
        "old": (["return len(self.lines) > self.limit"], []),
        "tests": (["class TestBasket:", "def test_full(self):"], ["total_due"]),
        "tests_apart": (["import Basket"], ["def lines"]),
    },
    "code": {
        "spec": (["def _quantity", ">>>", "..."], []),
        "mother": (["import math", "_quantity(line.count)"], []),
        "siblings": (["def net"], ["total_due"]),
    },
    "modify": {
        "old": (["math.floor", "import math"], ["FREE_FROM"]),
        "helpers": (["UNITS[text.split()[1]]"], []),
        "report": (["KeyError: 'pieces'"], ["test_nothing"]),
        "feedback": (["does not know the unit"], []),
    },
    "modify_of_a_child": {
        "feedback": (["without a default"], ["does not know"]),
        "mother_feedback": (["does not know the unit"], []),
        "mother": (["math.floor"], []),
        "mother_before": (["return sum(line.cents for line in lines)"], []),
        "tests": (["test_counts_dozens"], ["test_nothing"]),
    },
    "feedback_of_a_child": {"mother_feedback": (["does not know the unit"], [])},
    "tests": {"import_line": (["from shop.invoice import _quantity"], [])},
    "stubs": {"spec": (["`read_rate(text)` reads"], ['"""']), "siblings": (["def total_due"], [])},
}


@pytest.mark.parametrize(("case", "section"), [(c, s) for c, found in SEEN.items() for s in found])
def test_a_section_says_what_matters(case: str, section: str) -> None:
    text = getattr(viewer().view(*CASES[case]), section)
    wanted, unwanted = SEEN[case][section]
    assert [w for w in wanted if w not in text] == []
    assert [u for u in unwanted if u in text] == []


@pytest.mark.parametrize("case", CASES)
def test_explain_lists_the_sections_that_say_something(case: str) -> None:
    view = viewer().view(*CASES[case])
    rows = explain(view)
    assert {"spec", "old"} & {r.section for r in rows}
    assert all(r.text and r.tokens == tokens(r.text) for r in rows)


def test_a_rewrite_begins_with_the_tests_that_fail_now() -> None:
    begun = replace(fresh(ROOT, "regenerate"), baseline=grown().report("run"))
    assert "KeyError" in viewer().view(begun, ask("skeleton")).report
    assert viewer().view(replace(begun, job=fresh().job), ask("skeleton")).report == ""


def test_a_report_tells_of_the_function_and_not_of_what_failed_before() -> None:
    begun, wanted = CASES["modify"]
    run = begun.keys["run"]
    assert run.report is not None
    old = TestResult("tests/test_other.py::test_long_red", "failed", message="boom")
    baseline = Report((old,))
    report = replace(run.report, results=(*run.report.results, old))
    begun = replace(begun, baseline=baseline, keys={**begun.keys, "run": replace(run, report=report)})
    text = Viewer(TEXTS, viewer().graph).view(begun, wanted).report
    assert "1 of 2 tests pass" in text
    assert "KeyError: 'pieces'" in text
    assert "boom" not in text


def test_a_function_without_tests_is_told_so() -> None:
    begun = state(Target("shop/invoice.py::net", "generate"))
    user = viewer().prompt(begun, ask("skeleton", "shop/invoice.py::net")).messages[1].content
    assert "No test that was run here runs it" in user


def test_stubs_that_agents_will_write_are_marked() -> None:
    begun = state(Target("shop/invoice.py::net", "generate"))
    siblings = viewer().view(begun, ask("skeleton", "shop/invoice.py::net")).siblings
    assert "def total_due(lines: list[Line], rate: float) -> int: ...  # not written yet;" in siblings


def test_a_stub_that_the_docstring_speaks_of_is_marked_too() -> None:
    quota = 'def read(text: str) -> int:\n    """Read it."""\n    ...\n\n\n'
    quota += 'def said(n: int) -> str:\n    """Say it, so that `read` reads it back."""\n    ...\n'
    texts = {**TEXTS, "shop/quota.py": quota}
    begun = state(Target("shop/quota.py::said", "generate"), texts=texts)
    begun = replace(begun, job=replace(begun.job, stubs={"shop/quota.py": {"read": "shop/quota.py::read"}}))
    siblings = viewer(texts).view(begun, ask("skeleton", "shop/quota.py::said")).siblings
    assert siblings == "def read(text: str) -> int: ...  # not written yet; Read it."


def padded(functions: int, files: int, doc: str) -> dict[str, str]:
    """The workspace with many more functions that look as if they had to do with the target."""
    body = "".join(
        f'def total_due_{n}(lines: list[Line]) -> int:\n    """{doc} {n}."""\n    return {n}\n\n\n'
        for n in range(functions)
    )
    more = {f"shop/more{n}.py": f"from shop.invoice import Line, total_due\n\n\n{body}" for n in range(files)}
    return {**TEXTS, "shop/invoice.py": INVOICE + "\n\n" + body, **more}


def test_the_size_does_not_grow_with_the_workspace() -> None:
    sizes = []
    for functions, files in ((60, 10), (120, 40)):
        texts = padded(functions, files, "The total due for line")
        begun = state(Target(ROOT, "generate"), texts=texts)
        sizes.append(size(viewer(texts, 100_000).prompt(begun, ask("skeleton"))))
    assert abs(sizes[0] - sizes[1]) < 100  # numbers with more digits


@settings(max_examples=25, deadline=None)
@given(
    case=st.sampled_from(sorted(CASES)),
    context=st.integers(6_000, 40_000),
    functions=st.integers(0, 60),
    doc=st.text(st.characters(exclude_characters='"\\', exclude_categories=["Cs", "Cc"]), max_size=300),
)
def test_a_prompt_leaves_room_for_the_reply(case: str, context: int, functions: int, doc: str) -> None:
    begun, wanted = CASES[case]
    texts = padded(functions, 3, doc)
    begun = replace(begun, texts=texts, job=replace(begun.job, texts=texts))
    prompt = viewer(texts, context).prompt(begun, wanted)
    assert size(prompt) <= context - min(context // 4, 8_000)


def many_tests(count: int) -> dict[str, str]:
    more = "".join(
        f"\n\ndef test_more_{n}():\n    set_up = {'x' * 200!r}\n    assert total_due([], {n}) == {n}\n"
        for n in range(count)
    )
    return {**TEXTS, "tests/test_invoice.py": TESTS + more}


@pytest.mark.parametrize(
    ("count", "context", "seen", "unseen"),
    [
        (10, 16_000, ["def test_more_9", "set_up"], ["Shortened"]),
        (60, 9_000, ["def test_more_59", "assert total_due([], 59) == 59", "Shortened"], ["set_up"]),
        (1000, 9_000, ["Shortened"], ["set_up"]),
    ],
)
def test_tests_are_shortened_last_and_to_their_assertions(
    count: int, context: int, seen: list[str], unseen: list[str]
) -> None:
    texts = many_tests(count)
    ids = tuple(f"tests/test_invoice.py::test_more_{n}" for n in range(count))
    begun = state(Target(ROOT, "generate", ids), texts=texts)
    view = viewer(texts, context).view(begun, ask("skeleton"))
    assert view.spec == begun.nodes[ROOT].spec.replace("raise NotImplementedError", "...")
    assert [s for s in seen if s not in view.tests] == []
    assert [u for u in unseen if u in view.tests] == []
    if "Shortened" in view.tests:
        assert view.siblings == view.notes == ""


def test_old_replies_of_a_retry_are_cut_to_fit() -> None:
    begun, wanted = CASES["skeleton_again"]
    long = replace(begun.keys["k"].attempts[0], reply="word " * 50_000)
    begun = replace(begun, keys={"k": replace(begun.keys["k"], attempts=(long, long))})
    prompt = viewer().prompt(begun, wanted)
    assert [m.role for m in prompt.messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert size(prompt) <= 12_000


@pytest.mark.parametrize(
    "text",
    [
        INVOICE.replace("\n", "\r\n"),
        "\ufeff" + INVOICE,
        INVOICE + "\n\ndef broken(:\n",
        INVOICE.replace("    ", "\t"),
    ],
    ids=["crlf", "bom", "syntax error", "tabs"],
)
def test_strange_files_are_seen_all_the_same(text: str) -> None:
    texts = {**TEXTS, "shop/invoice.py": text}
    begun = state(Target(METHOD, "regenerate"), texts=texts)
    view = viewer(texts).view(begun, ask("skeleton", METHOD))
    assert "def is_full(self) -> bool:" in view.old
    assert "class Basket:" in view.owner
    assert "\r" not in "".join(
        m.content for m in viewer(texts).prompt(begun, ask("skeleton", METHOD)).messages
    )


def test_a_viewer_for_an_empty_workspace_still_speaks() -> None:
    begun = grown()
    bare = Viewer({}, viewer().graph, viewer().for_model)
    assert "_quantity" in bare.prompt(replace(begun, texts={}), ask("code", CHILD)).messages[1].content


SKIMMED = [  # source -> what is bound where
    ("import a.b, c as d\n", {"a", "d"}),
    ("from x import (\n    a,\n    b as c,  # why\n)\n", {"a", "c"}),
    ("try:\n    import fast\nexcept ImportError:\n    fast = None\n", {"fast"}),
    ("if True:\n    def f():\n        x = 1\n", set()),
    ("A: int = 1\nB = C = 2\ntype D[T] = list[T]\n", {"A", "B", "D"}),
    ("__all__ = ['a']\n", set()),
]


@pytest.mark.parametrize(("text", "names"), SKIMMED)
def test_bindings_of_a_module(text: str, names: set[str]) -> None:
    assert {n for b in skim("m.py", text).bindings for n in b.names} == names


QUOTED = [  # a module's text -> how its bindings are quoted when they are quoted in short
    ("try:\n    import fast\nexcept ImportError:\n    fast = None\n", None),
    ("if TYPE_CHECKING:\n    from a import B\n    C = list[B]\n", None),
    (
        "try:\n    from a import b\nexcept ImportError:\n    def b():\n        return 1\n",
        "from a import b  # if available",
    ),
    ("T = (" + "_('word'), " * 30 + ")\n", None),
    ("T = (\n" + "    'a word',\n" * 30 + ")\n", "T = ( " + "'a word', " * 30 + ")"),
    ("T = (" + "_('word'), " * 50 + ")\n", "T = (" + "_('word'), " * 36 + "...)  # shortened"),
    (
        "T = {'a': (" + "1234567890, " * 40 + "), 'b': f(" + "x, " * 90 + ")}\n",
        "T = {'a': (" + "1234567890, " * 16 + "...), 'b': f(" + "x, " * 64 + "...)}  # shortened",
    ),
    (
        "T = {" + "'a': (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), " * 30 + "}\n",
        "T = {" + ", ".join(["'a': (1, 2, 3, 4, 5, 6, 7, 8, 9, ...)"] * 30) + "}  # shortened",
    ),
]


@pytest.mark.parametrize(("text", "expected"), QUOTED)
def test_long_constants_are_cut_between_elements_and_branches_stay_branches(
    text: str, expected: str | None
) -> None:
    assert [b.short for b in skim("m.py", text).bindings] == [text.strip() if expected is None else expected]


HEADS = [
    ("def f(): return 1", "def f():\n    ..."),
    ('def f():\n    "Doc."\n    return 1', 'def f():\n    "Doc."\n    ...'),
    ("def f():\n    # what to do\n    pass", "def f():\n    # what to do\n    pass"),
    ("@a\nasync def f(x: int = 1) -> int:\n    return x", "@a\nasync def f(x: int = 1) -> int:\n    ..."),
]


@pytest.mark.parametrize(("source", "expected"), HEADS)
def test_head(source: str, expected: str) -> None:
    assert head(source) == expected


def test_brief_is_a_line_for_a_signature_on_one_line() -> None:
    file = skim(
        "m.py",
        'class A:\n    @property\n    def f(self) -> int:\n        """Say\n        more."""\n        ...\n',
    )
    assert brief(file.text, file.functions[0]) == "@property\ndef f(self) -> int: ...  # Say more."
