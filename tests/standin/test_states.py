"""Rows 11 to 37 of section F: the state itself."""

import base64
import hashlib
import json

import pytest


def serials(standin, name, project=84):
    truth = standin.truth_of(project, name)
    return None if truth is None else sorted(truth.versions)


@pytest.mark.parametrize("name", ["attic-dev", "brand-new"])
def test_row_11_developer_cannot_write_and_leaves_no_row(client, standin, tools, name):
    developer = client.as_("t-dev")
    before = standin.truth()
    for answer in (
        developer.post(name, tools.document(9)),
        developer.lock(name),
        developer.unlock(name, "lock-1"),
        developer.delete(name),
    ):
        assert (answer.status, answer.json) == (403, {"message": "403 Forbidden"})
    assert standin.truth() == before
    assert developer.get("attic-dev").status == 200


@pytest.mark.parametrize("tail", ["", "/lock", "/versions/1", "/authorize"])
def test_row_12_raw_slash_in_the_name_404(client, tail):
    answer = client.send("GET", f"/api/v4/projects/84/terraform/state/foo/bar{tail}")
    assert (answer.status, answer.json) == (404, {"error": "404 Not Found"})


@pytest.mark.parametrize("name", ["a.b", "a/b", "Grün e", "a+b", "%41", "..", "prod.tfstate"])
def test_row_13_names_are_decoded_once(client, standin, tools, name):
    assert client.post(name, tools.document(1)).status == 200
    assert client.lock(name).status == 200
    assert standin.truth_of(84, name).lock.id == "lock-1"
    assert client.unlock(name, "lock-1").status == 200
    assert client.get(name).body == tools.document(1)
    assert standin.truth_of(84, name).content == tools.document(1)


def test_row_13_names_are_case_sensitive(client, tools):
    assert client.post("Case", tools.document(1)).status == 200
    assert client.get("case").status == 404


def test_row_14_name_over_255_characters_400_and_no_row(client, standin, tools):
    limit, over = "n" * 255, "n" * 256
    expected = {"error": "name name must be less than 255 characters"}
    for answer in (client.post(over, tools.document(1)), client.lock(over)):
        assert (answer.status, answer.json) == (400, expected)
    assert serials(standin, over) is None
    assert client.post(limit, tools.document(1)).status == 200


def test_row_15_get_gives_the_exact_bytes_of_the_highest_serial(client, tools):
    answer = client.as_("t-dev").get("attic-dev")
    assert (answer.status, answer.body) == (200, tools.document(5))
    head = client.send("HEAD", client.path("attic-dev"))
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) == len(tools.document(5))


def test_row_16_row_without_version_or_file_204(client):
    client.lock("phantom")
    for name in ("phantom", "lost"):
        answer = client.get(name)
        assert (answer.status, answer.body) == (204, b"")


def test_row_17_unknown_name_404(client):
    answer = client.get("no-such-state")
    assert (answer.status, answer.json) == (404, {"message": "404 Not found"})


def test_row_18_soft_deleted_422_everywhere(client, standin, tools):
    before = standin.truth_of(84, "gone")
    for answer in (
        client.get("gone"),
        client.post("gone", tools.document(2)),
        client.delete("gone"),
        client.lock("gone"),
        client.unlock("gone"),
        client.unlock("gone", "x"),
    ):
        assert answer.status == 422
        assert answer.json["message"].endswith("StateDeletedError")
    assert standin.truth_of(84, "gone") == before


def test_row_19_get_does_not_care_about_the_lock(client, tools):
    client.lock("attic-dev")
    assert client.get("attic-dev").body == tools.document(5)
    assert client.send("GET", client.path("attic-dev", "?ID=wrong")).body == tools.document(5)


def test_row_20_post_adds_a_version(client, standin, tools):
    answer = client.post("attic-dev", tools.document(6))
    assert (answer.status, answer.body) == (200, b'""')
    assert standin.truth_of(84, "attic-dev").versions[6] == tools.document(6)
    assert client.get("attic-dev").body == tools.document(6)


def test_row_20_empty_id_is_no_id(client):
    assert client.post("attic-dev", b'{"serial":7}', lock_id="").status == 200


def test_row_21_post_creates_an_unknown_state(client, standin, tools):
    assert client.post("fresh", tools.document(0)).status == 200
    assert standin.truth_of(84, "fresh").versions == {0: tools.document(0)}


def test_row_22_empty_body_204_and_nothing_written(client, standin):
    assert client.post("fresh", b"").status == 204
    assert client.post("attic-dev", b"", lock_id="nobody").status == 204
    assert serials(standin, "fresh") is None
    assert serials(standin, "attic-dev") == [3, 5]


@pytest.mark.parametrize("body", [b"{", b"serial", b'{"serial": NaN}', b'{"serial":1}}', b"\xff\xfe", b"[" * 100_000])
def test_row_23_invalid_json_422_and_no_row(client, standin, body):
    answer = client.post("fresh", body)
    assert (answer.status, answer.json) == (422, {"message": "invalid JSON"})
    assert serials(standin, "fresh") is None


@pytest.mark.parametrize("body", [b"{}", b"[]", b"1", b'{"a":{"serial":1}}', b'{"serial":null}', b'{"serial":true}'])
def test_row_24_no_top_level_serial_422(client, standin, body):
    answer = client.post("fresh", body)
    assert (answer.status, answer.json) == (422, {"message": "No serial in payload"})
    assert serials(standin, "fresh") is None


@pytest.mark.parametrize("body", [b'{"serial":5,"other":1}', None])
def test_row_25_serial_that_exists_422_and_unchanged(client, standin, tools, body):
    answer = client.post("attic-dev", body or tools.document(5))
    assert answer.status == 422
    assert "PG::UniqueViolation" in answer.json["message"]
    assert "index_terraform_state_versions_on_state_id_and_version" in answer.json["message"]
    assert standin.truth_of(84, "attic-dev").versions[5] == tools.document(5)


@pytest.mark.parametrize("serial", [4, 1, 0])
def test_row_26_lower_unused_serial_is_stored_and_stays_in_the_shadow(client, standin, tools, serial):
    assert client.post("attic-dev", tools.document(serial)).status == 200
    assert standin.truth_of(84, "attic-dev").versions[serial] == tools.document(serial)
    assert client.get("attic-dev").body == tools.document(5)


def test_row_27_size_limit_counts_the_bytes(client, standin):
    def sized(serial, size):
        start = b'{"serial":%d,"pad":"' % serial
        return start + b"x" * (size - len(start) - 2) + b'"}'

    path = client.path("s", project=86)
    assert client.send("POST", path, sized(1, 100)).status == 200
    over = client.send("POST", path, sized(2, 101))
    assert (over.status, over.headers["content-type"].split(";")[0]) == (413, "text/plain")
    assert client.as_(None).send("POST", path, sized(2, 101)).status == 413
    assert serials(standin, "s", 86) == [1]
    assert client.post("unlimited", sized(1, 5_000_000)).status == 200


def test_row_28_post_with_the_held_id_is_written_by_the_holder(client, tools):
    client.as_("t-other").lock("attic-dev", ID="X")
    assert client.post("attic-dev", tools.document(6), lock_id="X").status == 200
    query = (
        '{project(fullPath:"acme/infra"){terraformState(name:"attic-dev")'
        "{latestVersion{serial createdByUser{username}}}}}"
    )
    latest = client.graphql(query).json["data"]["project"]["terraformState"]["latestVersion"]
    assert latest == {"serial": 6, "createdByUser": {"username": "other"}}
    client.unlock("attic-dev", "X")
    assert client.post("attic-dev", tools.document(7)).status == 200
    latest = client.graphql(query).json["data"]["project"]["terraformState"]["latestVersion"]
    assert latest == {"serial": 7, "createdByUser": None}


@pytest.mark.parametrize("lock_id", [None, "Y", ""])
def test_row_29_post_against_the_lock_500_and_unchanged(client, standin, tools, lock_id):
    client.lock("attic-dev", ID="X")
    answer = client.post("attic-dev", tools.document(6), lock_id=lock_id)
    assert (answer.status, answer.json) == (500, {"message": "500 Internal Server Error"})
    assert serials(standin, "attic-dev") == [3, 5]


def test_row_30_post_with_an_id_while_not_locked_500_and_a_phantom_stays(client, standin, tools):
    assert client.post("attic-dev", tools.document(6), lock_id="X").status == 500
    assert serials(standin, "attic-dev") == [3, 5]
    assert client.post("typo", tools.document(1), lock_id="X").status == 500
    assert serials(standin, "typo") == []
    assert client.get("typo").status == 204


def test_row_31_lineage_is_not_checked(client):
    other = json.dumps({"serial": 6, "lineage": "another"}).encode()
    assert client.post("attic-dev", other).status == 200
    assert client.get("attic-dev").body == other


def test_row_32_content_md5_is_ignored(client, tools):
    wrong = base64.b64encode(hashlib.md5(b"something else", usedforsecurity=False).digest()).decode()
    assert client.post("attic-dev", tools.document(6), Content_MD5=wrong).status == 200


def test_row_33_authorize_is_not_for_us(client):
    assert client.send("POST", client.path("attic-dev", "/authorize")).status == 403


def test_row_34_serial_beyond_the_column_500(client, standin):
    assert client.post("attic-dev", b'{"serial":2147483648}').status == 500
    assert client.post("attic-dev", b'{"serial":2147483647}').status == 200
    assert serials(standin, "attic-dev") == [3, 5, 2147483647]


def test_row_35_delete_marks_and_the_job_removes(client, standin, tools):
    answer = client.delete("attic-dev")
    assert (answer.status, answer.body) == (200, b'""')
    assert standin.truth_of(84, "attic-dev").deleted
    assert client.get("attic-dev").status == 422
    standin.store.remove_scheduled(84, "attic-dev")
    assert client.get("attic-dev").status == 404
    assert client.post("attic-dev", tools.document(1)).status == 200
    assert serials(standin, "attic-dev") == [1]


def test_row_36_delete_of_a_locked_state_200_without_effect(client, standin, tools):
    client.lock("attic-dev")
    answer = client.delete("attic-dev")
    assert (answer.status, answer.body) == (200, b'""')
    assert not standin.truth_of(84, "attic-dev").deleted
    assert client.get("attic-dev").body == tools.document(5)


def test_row_37_delete_of_an_unknown_state_404(client):
    answer = client.delete("nothing")
    assert (answer.status, answer.json) == (404, {"message": "404 Not found"})


def test_concurrent_posts_of_one_serial_have_one_winner(client, standin, tools):
    bodies = [tools.document(6, writer=index) for index in range(12)]
    answers = tools.together(12, lambda index: client.post("attic-dev", bodies[index]))
    won = [index for index, answer in enumerate(answers) if answer.status == 200]
    assert sorted(answer.status for answer in answers) == [200] + [422] * 11
    assert standin.truth_of(84, "attic-dev").content == bodies[won[0]]


def test_concurrent_posts_of_many_serials_lose_nothing(client, standin, tools):
    def write(index):
        return [client.post("busy", tools.document(index * 20 + step)).status for step in range(20)]

    assert tools.together(8, write) == [[200] * 20] * 8
    assert serials(standin, "busy") == list(range(160))
