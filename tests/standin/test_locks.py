"""Rows 38 to 47 of section F: the lock."""

import json
from datetime import datetime
from urllib.parse import urlencode

import pytest


def lock_of(standin, name):
    return standin.truth_of(84, name).lock


def test_row_38_lock_answers_with_lock_info(client, standin):
    answer = client.lock("attic-dev", Info="why", Version="9")
    info = answer.json
    assert answer.status == 200
    assert info["ID"] == "lock-1"
    assert info["Who"] == "maint"
    assert (info["Operation"], info["Info"], info["Version"], info["Path"]) == ("OperationTypeApply", "why", "9", "")
    assert datetime.fromisoformat(info["Created"]).tzinfo is not None
    assert (lock_of(standin, "attic-dev").id, lock_of(standin, "attic-dev").user) == ("lock-1", "maint")


def test_row_38_form_encoded_lock_is_understood(client, standin, tools):
    path = client.path("attic-dev", "/lock")
    form = urlencode(tools.LOCK_INFO)
    assert client.send("POST", path, form, Content_Type="application/x-www-form-urlencoded").status == 200
    assert lock_of(standin, "attic-dev").id == "lock-1"


def test_row_39_lock_on_an_unknown_name_creates_a_row(client, standin):
    assert client.lock("typo").status == 200
    assert standin.truth_of(84, "typo").versions == {}
    assert client.get("typo").status == 204


@pytest.mark.parametrize(("token", "lock_id"), [("t-other", "lock-2"), ("t-maint", "lock-1")])
def test_row_40_held_lock_409_with_the_holder_and_the_requesters_own_fields(client, standin, token, lock_id):
    first = client.lock("attic-dev").json
    answer = client.as_(token).lock("attic-dev", ID=lock_id, Operation="mine", Info="i", Version="v", Path="p")
    assert answer.status == 409
    assert answer.json == {
        "Operation": "mine",
        "Info": "i",
        "Version": "v",
        "Path": "p",
        "ID": "lock-1",
        "Who": "maint",
        "Created": first["Created"],
    }
    assert lock_of(standin, "attic-dev").id == "lock-1"


@pytest.mark.parametrize("missing", ["ID", "Operation", "Info", "Who", "Version", "Created", "Path"])
def test_row_41_lock_without_a_key_400(client, standin, tools, missing):
    info = {key: value for key, value in tools.LOCK_INFO.items() if key != missing}
    answer = client.send("POST", client.path("typo", "/lock"), json.dumps(info), Content_Type="application/json")
    assert (answer.status, answer.json) == (400, {"error": f"{missing} is missing"})
    assert standin.truth_of(84, "typo") is None


def test_row_41_lock_without_a_body_names_every_key(client):
    answer = client.send("POST", client.path("typo", "/lock"))
    assert answer.status == 400
    assert answer.json["error"].startswith("ID is missing, Operation is missing, ")


def test_row_41_lock_id_over_255_characters_400(client, standin):
    assert client.lock("typo", ID="x" * 256).status == 400
    assert standin.truth_of(84, "typo") is None
    assert client.lock("typo", ID="x" * 255).status == 200


@pytest.mark.parametrize(("kind", "body", "status"), [("application/json", "{", 400), ("text/plain", "x", 415)])
def test_lock_body_that_cannot_be_read(client, kind, body, status):
    for method in ("POST", "DELETE"):
        answer = client.send(method, client.path("attic-dev", "/lock"), body, Content_Type=kind)
        assert answer.status == status
        assert answer.json["error"]


def test_row_42_unlock_with_the_right_id(client, standin):
    client.lock("attic-dev")
    answer = client.unlock("attic-dev", "lock-1")
    assert (answer.status, answer.body) == (200, b"200")
    assert lock_of(standin, "attic-dev") is None


def test_row_42_the_id_may_come_in_the_query(client, standin):
    client.lock("attic-dev")
    assert client.delete("attic-dev", "/lock?ID=wrong").status == 409
    assert client.delete("attic-dev", "/lock?ID=lock-1").status == 200
    assert lock_of(standin, "attic-dev") is None


@pytest.mark.parametrize("locked", [True, False])
def test_row_43_unlock_without_an_id_always_succeeds(client, standin, locked):
    if locked:
        client.as_("t-other").lock("attic-dev")
    assert client.unlock("attic-dev").status == 200
    assert lock_of(standin, "attic-dev") is None
    assert client.unlock("unknown").status == 200
    assert standin.truth_of(84, "unknown").versions == {}


@pytest.mark.parametrize("lock_id", ["wrong", ""])
def test_row_44_unlock_with_the_wrong_id_409_and_the_lock_stays(client, standin, lock_id):
    client.lock("attic-dev")
    answer = client.unlock("attic-dev", lock_id)
    assert (answer.status, answer.body) == (409, b"409")
    assert lock_of(standin, "attic-dev").id == "lock-1"


def test_row_45_unlock_with_an_id_while_not_locked_409(client):
    assert client.unlock("attic-dev", "lock-1").status == 409
    assert client.unlock("unknown", "lock-1").status == 409


def test_row_46_unlock_id_over_255_characters_400(client, standin):
    client.lock("attic-dev")
    assert client.unlock("attic-dev", "x" * 256).status == 400
    assert lock_of(standin, "attic-dev").id == "lock-1"


@pytest.mark.parametrize(
    ("method", "tail"),
    [("GET", "/lock"), ("PUT", "/lock"), ("PUT", ""), ("PATCH", ""), ("LOCK", "/lock"), ("UNLOCK", "")],
)
def test_row_47_other_methods_405(client, method, tail):
    answer = client.send(method, client.path("attic-dev", tail))
    assert (answer.status, answer.json) == (405, {"error": "405 Not Allowed"})
    assert "DELETE" in answer.headers["allow"]


def test_concurrent_locks_have_one_winner(client, standin, tools):
    answers = tools.together(16, lambda index: client.lock("attic-dev", ID=f"lock-{index}"))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 15
    holder = lock_of(standin, "attic-dev").id
    assert {answer.json["ID"] for answer in answers} == {holder}
