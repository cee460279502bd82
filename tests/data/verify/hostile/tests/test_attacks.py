"""Each test attacks and passes only when it was stopped. What to attack stands in attack.json."""

import ctypes
import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest

AIM = json.loads(pathlib.Path(__file__).with_name("attack.json").read_text())


def test_reads_a_secret_of_the_home():
    with pytest.raises(OSError):
        open(AIM["secret"]).read()


def test_writes_into_the_home():
    with pytest.raises(OSError):
        open(os.path.dirname(AIM["secret"]) + "/planted", "w").write("x")


def test_reads_shadow():
    with pytest.raises(OSError):
        open("/etc/shadow").read()


@pytest.mark.parametrize("place", ["/usr/planted", "/etc/planted", "/planted", "/proc/sys/kernel/core_pattern"])
def test_writes_to_the_system(place):
    with pytest.raises(OSError):
        open(place, "w").write("x")


def test_calls_the_hosts_loopback():
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", AIM["port"]), 1)


def test_calls_a_socket_file():
    with pytest.raises(OSError), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(AIM["socket"])


def test_calls_an_abstract_socket():
    with pytest.raises(OSError), socket.socket(socket.AF_UNIX) as caller:
        caller.connect("\0" + AIM["abstract"])


def test_sends_datagrams():
    with pytest.raises(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("192.0.2.1", 9))


def test_sees_or_stops_the_parent():
    with pytest.raises((OSError, AssertionError)):
        environ = open(f"/proc/{AIM['pid']}/environ").read()
        assert "SOA_TEST_KEY" in environ
    with pytest.raises((OSError, AssertionError)):
        os.kill(AIM["pid"], 0)


def test_finds_keys_in_its_environment():
    assert not [name for name in os.environ if "KEY" in name or "TOKEN" in name]


@pytest.mark.parametrize("call", [(272, 0x10000000), (101, 16, 1, 0, 0), (165, 0, 0, 0, 0)])
def test_makes_a_refused_system_call(call):
    if os.uname().machine != "x86_64":
        pytest.skip("numbers of x86_64")
    assert ctypes.CDLL(None, use_errno=True).syscall(*call) == -1
    assert ctypes.get_errno() == 1


def test_leaves_a_process_behind():
    program = "import os, time; os.setsid(); [time.sleep(0.1) for _ in range(600)]"
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", program, AIM["marker"]])
        os._exit(0)


def test_deletes_the_tree():
    here = pathlib.Path.cwd()
    (here / "precious.txt").unlink()
    (here / "planted.txt").write_text("x")
    assert not (here / "precious.txt").exists()


def test_own_server_works():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), 1):
            pass


def test_subprocess_works():
    assert subprocess.run(["/bin/sh", "-c", "echo hi"], capture_output=True, text=True).stdout == "hi\n"


def test_home_and_temp_are_writable(tmp_path):
    (pathlib.Path.home() / "x").write_text("x")
    (tmp_path / "x").write_text("x")


def test_terminal_can_be_opened():
    pair = os.openpty()
    assert os.isatty(pair[0])
