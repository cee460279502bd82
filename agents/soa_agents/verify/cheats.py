"""What code may say that can fool a test, as tables: names, modules, texts, and why each is shown. Pure."""

from __future__ import annotations

import re

CALLER = "reads its caller's frame"
TESTS = "looks at the test that is running"
ENDS = "ends the process instead of returning"
SIGNALS = "handles signals, which can stop the clock of a test"
WATCHES = "watches other code while it runs"
MEMORY = "searches the objects of other code"
PIPES = "writes to a pipe or file that is open already"
IMPORTS = "changes how modules are imported"
TEXT = "runs a text as code, which cannot be checked"
LOADED = "looks into a loaded test module"
SEARCHES = "looks through the loaded modules"
OURS = "reaches into SoA"
PATCHED = "changes a builtin for everybody"
CODE = "puts other code into a function that exists"


def _all(why: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(" ".join(names).split(), why)


NAMES = {  # dotted name, as imported
    **_all(CALLER, "sys._getframe sys._current_frames sys._getframemodulename logging.currentframe"),
    **_all(CALLER, "inspect.currentframe inspect.stack inspect.trace inspect.getouterframes"),
    **_all(CALLER, "inspect.getinnerframes traceback.walk_stack"),
    **_all(WATCHES, "sys.settrace sys.setprofile threading.settrace threading.setprofile sys.monitoring"),
    **_all(WATCHES, "sys.addaudithook"),
    **_all(ENDS, "os._exit os.abort os.execv os.execve os.execvp os.execl os.execlp"),
    **_all(SIGNALS, "os.kill os.killpg signal.raise_signal signal.signal signal.alarm signal.setitimer"),
    **_all(SIGNALS, "signal.pthread_kill _thread.interrupt_main signal.pthread_sigmask"),
    **_all(MEMORY, "gc.get_objects gc.get_referrers gc.get_referents"),
    **_all(PIPES, "os.write os.writev os.pwrite os.dup2 os.closerange os.fdopen os.sendfile"),
    **_all(IMPORTS, "sys.meta_path sys.path_hooks sys.path_importer_cache"),
    **_all(CODE, "types.CodeType types.FunctionType"),
    "os.fork": "goes on in a second process",
    "atexit.register": "acts after the tests have ended",
}
ATTRIBUTES = {
    **_all(CALLER, "f_back f_locals f_globals tb_frame"),
    **_all(MEMORY, "__subclasses__ __globals__ cell_contents"),
}
HIDDEN = {  # the same, written as a text: getattr(sys, "_getframe")
    **ATTRIBUTES,
    **_all(CALLER, "_getframe _current_frames currentframe"),
    **_all(MEMORY, "get_objects get_referrers"),
    **_all(ENDS, "_exit"),
    **_all(PATCHED, "__builtins__"),
    **_all(CODE, "__code__"),
}
MODULES = {
    "pytest": "uses pytest inside the program",
    "_pytest": "reaches into pytest",
    "__main__": "reaches into the program that runs the tests",
    **_all("uses a test framework inside the program", "unittest mock hypothesis nose nose2 pytest_mock"),
    **_all("reaches into memory", "ctypes _ctypes cffi"),
    **_all(WATCHES, "bdb pdb"),
    **_all(OURS, "soa_recorder soa_pytest_plugin soa_test_server"),
}
TEST_MODULE = re.compile(r"(^|\.)(test_\w+|\w+_test|conftest)(\.|$)|^tests?(\.|$)")
TEXTS = (  # a text in the code, whole -> what it is there for
    (re.compile(r"(pytest|py\.test|_pytest(\..*)?|PYTEST_\w+)"), TESTS),
    (re.compile(r"SOA_[A-Z]+|soa_(recorder|pytest_plugin|test_server)"), OURS),
    (
        re.compile(r"(.*/)?(test_[\w*?]*|[\w*?]*_test|conftest|sitecustomize)\.py|tests?/.*"),
        "names a test file",
    ),
    (re.compile(r"/proc/(self|\d+)\b.*|/dev/fd\b.*"), "reaches into the memory or the pipes of its process"),
)
COMPARISONS = frozenset({"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"})
ASKED = COMPARISONS | {"__contains__", "__instancecheck__", "__subclasscheck__", "__sub__", "__rsub__"}
SEEN_AS_FAILURE = frozenset({"AssertionError", "Exception", "BaseException"})
BUILTINS = frozenset({"builtins", "__builtins__", "builtins.__dict__", "__builtins__.__dict__"})
FREE_TO_SET = frozenset(  # attributes of modules that programs do set
    f"sys.{name}" for name in ("stdin", "stdout", "stderr", "argv", "path", "ps1", "ps2", "tracebacklimit")
)
