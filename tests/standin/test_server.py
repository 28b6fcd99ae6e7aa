"""HTTP itself: connections that stay, large bodies, strange clients, latency; and the process."""

import hashlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time

import pytest

from migrator.standin import Standin, parse_configuration

HEADERS = {"PRIVATE-TOKEN": "t-maint"}


@pytest.fixture
def connection(client):
    opened = http.client.HTTPConnection(client.host, client.port, timeout=30)
    yield opened
    opened.close()


def raw(client, sent):
    """Send bytes, return everything until the server closes."""
    with socket.create_connection((client.host, client.port), timeout=10) as opened:
        opened.sendall(sent)
        received = b""
        while chunk := opened.recv(65536):
            received += chunk
        return received


def test_one_connection_serves_many_requests(client, connection, tools):
    connection.connect()
    port = connection.sock.getsockname()[1]
    for serial in range(6, 40):
        connection.request("POST", client.path("attic-dev"), tools.document(serial), HEADERS)
        assert connection.getresponse().read() == b'""'
        connection.request("GET", client.path("attic-dev"), headers=HEADERS)
        assert connection.getresponse().read() == tools.document(serial)
        connection.request("POST", client.path("attic-dev"), b"", HEADERS)
        assert connection.getresponse().read() == b""
    assert connection.sock.getsockname()[1] == port


def test_head_sends_the_length_and_no_body(client, tools):
    head = f"HEAD {client.path('attic-dev')} HTTP/1.1\r\nPRIVATE-TOKEN: t-maint\r\nConnection: close\r\n\r\n"
    received = raw(client, head.encode())
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length: %d\r\n" % len(tools.document(5)) in received
    assert received.endswith(b"\r\n\r\n")


def test_state_of_50_megabytes_comes_back_byte_for_byte(client):
    body = b'{"serial": 1, "pad": "' + b"0123456789abcdef" * (50 * 2**20 // 16) + b'"}'
    assert client.post("huge", body).status == 200
    assert hashlib.sha256(client.get("huge").body).digest() == hashlib.sha256(body).digest()


def test_chunked_bodies_are_put_together(client, connection, standin):
    connection.request("POST", client.path("chunked"), iter([b'{"ser', b'ial"', b":7}"]), HEADERS, encode_chunked=True)
    assert connection.getresponse().read() == b'""'
    assert standin.truth_of(84, "chunked").versions == {7: b'{"serial":7}'}
    connection.request("GET", client.path("chunked"), headers=HEADERS)
    assert connection.getresponse().read() == b'{"serial":7}'


def test_expect_100_continue_is_answered(client):
    with socket.create_connection((client.host, client.port), timeout=10) as opened:
        head = f"POST {client.path('c')} HTTP/1.1\r\nHost: x\r\nPRIVATE-TOKEN: t-maint\r\nContent-Length: 12\r\n"
        opened.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
        assert opened.recv(100).startswith(b"HTTP/1.1 100 ")
        opened.sendall(b'{"serial":1}')
        assert opened.recv(1000).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 300 + b"\r\n", 431),
        (b"GET / HTTP/1.0\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
    ],
)
def test_strange_requests_get_an_answer_and_the_connection_ends(client, sent, status):
    assert raw(client, sent).startswith(f"HTTP/1.1 {status} ".encode())
    assert client.get("attic-dev").status == 200


def test_client_that_leaves_in_the_middle_writes_nothing(client, standin):
    with socket.create_connection((client.host, client.port), timeout=10) as opened:
        head = f"POST {client.path('half')} HTTP/1.1\r\nPRIVATE-TOKEN: t-maint\r\nContent-Length: 100\r\n\r\n"
        opened.sendall(head.encode() + b'{"serial":1}')
    assert client.get("half").status == 404
    assert standin.truth_of(84, "half") is None


def test_nothing_is_printed(client, capfd, tools):
    client.post("attic-dev", tools.document(6))
    client.get("none")
    raw(client, b"nonsense\r\n\r\n")
    assert capfd.readouterr() == ("", "")


def test_exchanges_hold_no_secret(client, standin):
    client.as_(None).send("GET", client.path("attic-dev", "?private_token=t-maint"))
    (exchange,) = standin.exchanges()
    assert (exchange.method, exchange.path, exchange.status) == ("GET", client.path("attic-dev"), 200)


def test_latency_is_added_to_each_request_side_by_side(configuration, tools):
    with Standin(parse_configuration(configuration), latency_seconds=0.1) as slow:
        client = tools.Client(slow.base_url, "t-maint")
        started = time.monotonic()
        assert client.get("attic-dev").status == 200
        assert time.monotonic() - started >= 0.1
        started = time.monotonic()
        tools.together(8, lambda _: client.get("attic-dev"))
        assert 0.1 <= time.monotonic() - started < 0.7


def test_stop_ends_connections_and_can_be_repeated(configuration, tools):
    others = set(threading.enumerate())
    standin = Standin(parse_configuration(configuration))
    client = tools.Client(standin.start(), "t-maint")
    kept = http.client.HTTPConnection(client.host, client.port, timeout=10)
    kept.request("GET", client.path("attic-dev"), headers=HEADERS)
    kept.getresponse().read()
    standin.stop()
    standin.stop()
    with pytest.raises(OSError, match="refused"):
        client.get("attic-dev")
    assert kept.sock.recv(1) == b""
    kept.close()
    assert standin.truth_of(84, "attic-dev").content == tools.document(5)
    assert not [thread for thread in set(threading.enumerate()) - others if thread.name == "standin"]
    with standin:
        assert tools.Client(standin.base_url, "t-maint").get("attic-dev").status == 200


def test_stop_lets_a_running_request_finish(configuration, tools):
    standin = Standin(parse_configuration(configuration), latency_seconds=0.3)
    client = tools.Client(standin.start(), "t-maint")
    answers = []
    sender = threading.Thread(target=lambda: answers.append(client.post("attic-dev", tools.document(6)).status))
    sender.start()
    time.sleep(0.1)
    standin.stop()
    assert standin.truth_of(84, "attic-dev").serial == 6
    sender.join()
    assert answers == [200]


class TestProcess:
    @staticmethod
    def start(tmp_path, document, *arguments):
        path = tmp_path / "standin.json"
        path.write_text(json.dumps(document))
        command = [sys.executable, "-m", "migrator.standin", "--config", str(path), *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_prints_one_line_and_ends_on_sigterm(self, tmp_path, configuration, tools):
        process = self.start(tmp_path, configuration, "--port", "0")
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:")
        client = tools.Client(line.removeprefix("listening on ").strip(), "t-maint")
        assert client.get("attic-dev").body == tools.document(5)
        process.terminate()
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == 0

    def test_listens_on_the_loopback_only(self, standin):
        assert standin.base_url.startswith("http://127.0.0.1:")
        assert standin._server.socket.getsockname()[0] == "127.0.0.1"

    def test_broken_configuration_exits_2_and_says_where(self, tmp_path, configuration):
        process = self.start(tmp_path, {**configuration, "surprise": 1})
        out, error = process.communicate(timeout=10)
        assert (process.returncode, out) == (2, "")
        assert "configuration.surprise: unknown key" in error

    def test_port_that_is_taken_exits_6(self, tmp_path, configuration, client):
        process = self.start(tmp_path, configuration, "--port", str(client.port))
        _, error = process.communicate(timeout=10)
        assert process.returncode == 6
        assert "in use" in error
