"""Storage in a directory: what was answered is there after SIGKILL, on a real child process."""

import http.client
import json
import subprocess
import sys
import threading
import time

import pytest

from migrator.standin import Standin, parse_configuration


class Child:
    """A stand-in in a process of its own, over one storage directory."""

    def __init__(self, tmp_path, document, client_class):
        self._configuration = tmp_path / "standin.json"
        self._configuration.write_text(json.dumps(document))
        self.storage = tmp_path / "storage"
        self._client_class = client_class
        self.start()

    def start(self):
        command = [sys.executable, "-m", "migrator.standin", "--config", str(self._configuration)]
        command += ["--storage", str(self.storage)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.client = self._client_class(
            self.process.stdout.readline().removeprefix("listening on ").strip(), "t-maint"
        )

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=10)
        self.process.stdout.close()


@pytest.fixture
def child(tmp_path, configuration, tools):
    running = Child(tmp_path, configuration, tools.Client)
    yield running
    running.kill()


def test_everything_that_was_answered_survives_sigkill(child, tools):
    client = child.client
    client.post("attic-dev", tools.document(6))
    client.lock("attic-dev", ID="held")
    client.post("a/b cü", tools.document(1))
    client.post("a/b cü", tools.document(2))
    client.delete("a/b cü", "/versions/2")
    client.lock("phantom")
    client.unlock("phantom", "lock-1")
    client.delete("lost")
    child.kill()
    child.start()
    client = child.client
    assert client.get("attic-dev").body == tools.document(6)
    assert client.get("attic-dev", "/versions/3").body == tools.document(3)
    assert client.lock("attic-dev").json["ID"] == "held"
    assert client.get("a/b cü").body == tools.document(1)
    assert client.get("phantom").status == 204
    assert client.lock("phantom").status == 200
    assert client.get("lost").status == 422
    assert client.get("gone").status == 422
    assert client.post("attic-dev", tools.document(7), lock_id="held").status == 200


def test_protection_rules_survive_sigkill_and_a_removed_one_stays_away(tmp_path, configuration, tools):
    rule = {"state_name": "attic-dev", "minimum_access_level_for_write": "admin"}
    child = Child(tmp_path, {**configuration, "protection_rules": [{"project": 84, **rule}]}, tools.Client)
    path = "/api/v4/projects/84/terraform/state_protection_rules"
    try:
        assert child.client.send("DELETE", f"{path}/1").status == 204
        made = child.client.send(
            "POST", path, json.dumps({**rule, "state_name": "new"}), Content_Type="application/json"
        )
        child.kill()
        child.start()
        assert child.client.send("GET", path).json == [made.json]
        assert child.client.lock("new").status == 403
        assert child.client.lock("attic-dev").status == 200
    finally:
        child.kill()


def test_configuration_is_put_in_once(child, tools):
    child.client.post("attic-dev", tools.document(6))
    child.client.delete("attic-dev", "/versions/3")
    for _ in range(2):
        child.kill()
        child.start()
    assert child.client.get("attic-dev").body == tools.document(6)
    assert child.client.get("attic-dev", "/versions/3").status == 404


def test_sigkill_in_the_middle_of_writes_loses_nothing_that_was_answered(child, tools):
    committed, sent = {}, {}

    def write(name):
        for serial in range(1, 10_000):
            body = tools.document(serial, pad="x" * 20_000, writer=name)
            sent[name] = serial
            try:
                if child.client.post(name, body).status == 200:
                    committed[name] = serial
            except (OSError, http.client.HTTPException):
                return

    names = [f"writer-{index}" for index in range(4)]
    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (len(committed) < 4 or min(committed.values()) < 5):
        time.sleep(0.01)
    child.kill()
    for thread in threads:
        thread.join()
    assert len(committed) == 4
    (child.storage / "rows" / "999.json.tmp").write_bytes(b"{ torn")
    child.start()
    for name in names:
        body = child.client.get(name).body
        serial = json.loads(body)["serial"]
        assert committed[name] <= serial <= sent[name]
        assert body == tools.document(serial, pad="x" * 20_000, writer=name)
        for earlier in range(1, committed[name] + 1):
            assert child.client.get(name, f"/versions/{earlier}").status == 200
    assert not list(child.storage.rglob("*.tmp"))


def test_seeding_that_was_cut_short_begins_again(tmp_path, configuration, tools):
    parsed = parse_configuration(configuration)
    with Standin(parsed, tmp_path) as first:
        tools.Client(first.base_url, "t-maint").post("attic-dev", tools.document(6))
    (tmp_path / "seeded").unlink()
    again = Standin(parsed, tmp_path)
    assert sorted(again.truth_of(84, "attic-dev").versions) == [3, 5]
    assert sorted(again.truth()) == [(84, "attic-dev"), (84, "gone"), (84, "lost")]


def test_concurrent_changes_over_a_slow_storage_keep_one_winner(tmp_path, configuration, tools):
    with Standin(parse_configuration(configuration), tmp_path) as standin:
        client = tools.Client(standin.base_url, "t-maint")
        for serial in range(6, 16):
            bodies = [tools.document(serial, writer=index) for index in range(8)]
            posts = tools.together(8, lambda index, bodies=bodies: client.post("attic-dev", bodies[index]).status)
            assert sorted(posts) == [200] + [422] * 7
            assert standin.truth_of(84, "attic-dev").content == bodies[posts.index(200)]
            locks = tools.together(8, lambda index: client.lock("attic-dev", ID=f"lock-{index}").status)
            assert sorted(locks) == [200] + [409] * 7
            assert client.unlock("attic-dev", f"lock-{locks.index(200)}").status == 200
        names = tools.together(8, lambda index: client.post(f"new-{index}", tools.document(1)).status)
        assert names == [200] * 8
    again = Standin(parse_configuration(configuration), tmp_path)
    assert sorted(again.truth_of(84, "attic-dev").versions) == [3, *range(5, 16)]
    assert all(again.truth_of(84, f"new-{index}").content == tools.document(1) for index in range(8))


def test_memory_forgets(configuration, tools):
    parsed = parse_configuration(configuration)
    with Standin(parsed) as first:
        tools.Client(first.base_url, "t-maint").post("attic-dev", tools.document(6))
    assert Standin(parsed).truth_of(84, "attic-dev").serial == 5
