"""The example as its user runs it: three processes, real sockets."""

import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.world import World, environment, messages, received


def connection_to(listener: socket.socket) -> socket.socket:
    """The next connection, which leaves nothing behind at the listener's port when it is closed."""
    listener.settimeout(20)
    connection, _ = listener.accept()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return connection


def test_the_client_shows_ten_messages_and_the_total(world: World) -> None:
    world.broker()
    world.server("--actr-toml", "Actr.toml", "--interval", "0.05")
    client = world.client("--actr-toml", "Actr.toml", "my-stream", "10")
    assert client.wait() == 0
    assert received(client) == messages(10, "my-stream")
    assert re.search(r"^Total: 10 of 10 messages from [0-9a-f]+@0:acme\+StreamEchoServer$", client.out, re.MULTILINE)
    assert client.err == ""


@pytest.mark.parametrize(("path", "is_relayed"), [("direct", False), ("relay", True)])
def test_a_path_that_the_manifests_name_is_taken_with_the_same_result(
    world: World, tmp_path: Path, path: str, is_relayed: bool
) -> None:
    world.example = shutil.copytree(world.example, tmp_path / "stream-echo")
    for manifest in world.example.glob("*/Actr.toml"):
        manifest.write_text(f'{manifest.read_text()}\n[system.streams]\npath = "{path}"\n')
    broker = world.broker()
    world.server("--interval", "0.02")
    client = world.client("my-stream", "20")
    assert client.wait() == 0, client.err
    assert received(client) == messages(20, "my-stream")
    broker.process.send_signal(signal.SIGUSR1)
    counted = re.search(r" relay\.messages=(\d+)", broker.wait_for("statistics nodes=.*")[0])
    relayed = int(counted[1]) if counted else 0
    assert relayed >= 10 if is_relayed else relayed == 0, "most frames leave alone, 20 ms apart"


def test_a_message_is_shown_when_it_comes_not_at_the_end(world: World) -> None:
    world.broker()
    world.server("--interval", "0.5")
    client = world.client("my-stream", "4")
    client.wait_for("Stream message 1 ")
    assert "Stream message 4 " not in client.out
    assert client.wait() == 0


def test_the_starting_order_does_not_matter(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:  # answers no greeting
        world.url = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        client = world.client("my-stream", "10")
        with connection_to(nobody):
            server = world.server("--interval", "0.05")
            with connection_to(nobody):
                pass  # both have looked for a broker
    assert client.process.poll() is None
    assert server.process.poll() is None
    world.broker(world.url)
    assert client.wait() == 0
    assert received(client) == messages(10, "my-stream")


def test_ten_clients_spread_over_two_servers_and_get_all_of_theirs(world: World) -> None:
    world.broker()
    servers = [world.server("--interval", "0") for _ in range(2)]
    for server in servers:
        server.wait_for("ready|registered")
    clients = [world.client(f"stream-{i}", "1000", "--wait", "60") for i in range(10)]
    for i, client in enumerate(clients):
        assert client.wait(60) == 0, client.err
        assert received(client) == messages(1000, f"stream-{i}")
    served = Counter(client.wait_for(r"messages from (\S+)")[1] for client in clients)
    assert len(served) == 2
    assert min(served.values()) >= 3


@pytest.mark.serial
def test_a_client_whose_server_is_killed_says_so_at_once(world: World) -> None:
    world.broker()
    server = world.server("--interval", "0.2")
    client = world.client("my-stream", "100")
    client.wait_for("Stream message 3 ")
    server.process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    assert client.wait() == 1
    assert time.monotonic() - killed < 1
    assert re.fullmatch(r"client\.py: .+\n", client.err)
    assert re.search(r"Total: \d+ of 100 messages", client.out)


STRICKEN = """

class Stricken(StreamServer):
    async def register_stream(self, req, ctx):
        import os, threading
        threading.Timer(0.3, os._exit, (1,)).start()
        return RegisterStreamResponse(success=True, message="any moment now")

StreamServer = Stricken
"""


@pytest.mark.serial
def test_a_client_whose_server_dies_between_its_reply_and_the_first_message_says_so_at_once(
    world: World, tmp_path: Path
) -> None:
    shutil.copytree(world.example / "server", tmp_path / "server")
    with (tmp_path / "server" / "stream_server.py").open("a") as program:
        program.write(STRICKEN)
    world.broker()
    stricken = world.start("server.py", cwd=tmp_path / "server")
    stricken.wait_for("registered")
    client = world.client("my-stream", "10")
    assert stricken.wait() == 1
    died = time.monotonic()
    assert client.wait(5) == 1
    assert time.monotonic() - died < 1
    assert re.fullmatch(r"client\.py: stream my-stream, which nobody has opened yet: .+ is down: .+\n", client.err)
    assert "Total: 0 of 10 messages" in client.out


def test_a_client_that_asks_for_nothing_gets_it(world: World) -> None:
    world.broker()
    world.server("--interval", "0")
    client = world.client("my-stream", "0")
    assert client.wait() == 0
    assert "Total: 0 of 0 messages" in client.out


def test_a_server_whose_client_is_killed_says_which_stream_and_why_and_serves_the_next(world: World) -> None:
    world.broker()
    server = world.server("--interval", "0.05")
    client = world.client("my-stream", "1000")
    client.wait_for("Stream message 3 ")
    client.process.kill()
    server.wait_for(
        r"stream my-stream.+@0:acme\+StreamEchoClient.+\(after \d+ frames\); stop sending; catch ActrTransportError"
    )
    other = world.client("my-stream", "5")
    assert other.wait() == 0
    assert server.process.poll() is None


@pytest.mark.serial
def test_without_a_server_the_client_says_so_in_time(world: World) -> None:
    world.broker()
    client = world.client("--wait", "1", "my-stream", "10")
    assert client.wait() == 4
    assert time.monotonic() - client.started < 4
    assert re.fullmatch(r"client\.py: no live node of type acme\+StreamEchoServer.+\n", client.err)


@pytest.mark.serial
def test_without_a_broker_the_client_says_so_in_time(world: World, free_address: str) -> None:
    world.url = free_address
    client = world.client("--wait", "2", "my-stream", "10")
    assert client.wait() == 3
    assert time.monotonic() - client.started < 5
    early, late = client.err.splitlines()
    assert re.fullmatch(rf"WARNING actrzmq\.node: no broker url={world.url} for_ms=1\d+; .+`actrzmq-broker`.+", early)
    assert re.fullmatch(rf"client\.py: no broker at {world.url}; .+`actrzmq-broker`.+", late)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_server_stops_when_it_is_told_to(world: World, number: signal.Signals) -> None:
    world.broker()
    server = world.server()
    server.wait_for("serving id=")
    server.process.send_signal(number)
    assert server.wait(5) == (130 if number is signal.SIGINT else 0)
    assert "Traceback" not in server.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_client_told_to_stop_leaves_in_order_and_with_the_number_of_the_signal(
    world: World, number: signal.Signals
) -> None:
    world.broker()
    server = world.server("--interval", "0.2")
    client = world.client("my-stream", "100")
    client.wait_for("Stream message 2 ")
    client.process.send_signal(number)
    assert client.wait(5) == 128 + number
    assert client.err == ""
    assert re.search(r"^Total: \d+ of 100 messages", client.out, re.MULTILINE)
    assert server.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("program", ["server", "client"])
def test_a_program_that_waits_for_its_broker_may_be_told_to_stop(
    world: World, free_address: str, program: str, number: signal.Signals
) -> None:
    world.url = free_address
    waiting = world.start(f"{program}.py", *(["s", "1"] if program == "client" else []), cwd=world.example / program)
    waiting.wait_for("no broker")
    waiting.process.send_signal(number)
    assert waiting.wait(5) == 128 + number
    assert "Traceback" not in waiting.err


def test_a_client_whose_reader_goes_leaves_without_a_word(world: World) -> None:
    world.broker()
    world.server("--interval", "0.01")
    with subprocess.Popen(
        [sys.executable, "client.py", "my-stream", "5000"],
        cwd=world.example / "client",
        env=environment(ACTRZMQ_BROKER=world.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        assert client.stdout.readline().startswith("Received: ")
        client.stdout.close()
        try:
            assert client.wait(20) == 141
        finally:
            client.kill()
        assert client.stderr.read() == ""


def test_a_second_ctrl_c_ends_a_client_at_once(world: World) -> None:
    world.broker()
    server = world.server("--interval", "0.2")
    client = world.client("my-stream", "100")
    client.wait_for("Stream message 2 ")
    server.process.send_signal(signal.SIGSTOP)
    for _ in range(2):
        client.process.send_signal(signal.SIGINT)
        time.sleep(0.02)  # two that come at the same moment are one
    assert client.wait(2) in (130, -signal.SIGINT)  # the latter where the interpreter was on its way out already
    assert client.err == ""


GENERATE = r"generated code is missing; run `actr gen --input protos --output generated --language python` in .+"


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("client", [], r"the following arguments are required: STREAM_ID, COUNT; try: python client.py my-stream 10"),
        ("client", ["my-stream", "many"], r"argument COUNT: invalid count value: 'many'; try: .+"),
        ("client", ["my-stream", "-1"], r".+; try: .+"),
        ("client", ["my-stream", "1", "--wait", "nan"], r"argument --wait: invalid seconds value: 'nan'; try: .+"),
        ("client", ["my-stream", "1", "--actr-toml", "no.toml"], r".+/no\.toml: no such file; give the path of .+"),
        ("server", ["--interval", "-1"], r"argument --interval: .+; try: .+"),
        ("server", ["--actr-toml", "no.toml"], r".+/no\.toml: no such file; give the path of .+"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_said_in_one_line(
    world: World, program: str, arguments: list[str], message: str
) -> None:
    started = world.start(f"{program}.py", *arguments, cwd=world.example / program)
    assert started.wait() == 2
    assert re.fullmatch(rf"{program}\.py: {message}\n", started.err)


@pytest.mark.parametrize("program", ["server", "client"])
def test_an_unknown_key_in_the_manifest_is_said_in_one_line(world: World, program: str, tmp_path: Path) -> None:
    project = tmp_path / program
    shutil.copytree(world.example / program, project)
    with (project / "Actr.toml").open("a") as manifest:
        manifest.write("\n[sistem]\n")
    started = world.start(f"{program}.py", *(["s", "1"] if program == "client" else []), cwd=project)
    assert started.wait() == 2
    assert re.fullmatch(rf"{program}\.py: .+/Actr\.toml: unknown key sistem; did you mean system\?\n", started.err)


@pytest.mark.parametrize("program", ["server", "client"])
def test_generated_code_that_is_missing_is_said_in_one_line(world: World, program: str, tmp_path: Path) -> None:
    project = tmp_path / program
    shutil.copytree(world.example / program, project, ignore=shutil.ignore_patterns("generated"))
    started = world.start(f"{program}.py", *(["s", "1"] if program == "client" else []), cwd=project)
    assert started.wait() == 2
    assert re.fullmatch(rf"{program}\.py: {GENERATE}\n", started.err)
