"""Rows 48 to 51 of section F: single versions."""

import pytest


def test_row_48_get_version(client, tools):
    assert client.as_("t-dev").get("attic-dev", "/versions/3").body == tools.document(3)
    missing = client.get("attic-dev", "/versions/4")
    assert (missing.status, missing.json) == (404, {"message": "404 Not Found"})
    assert client.get("nothing", "/versions/4").json == {"message": "404 Not found"}
    invalid = client.get("attic-dev", "/versions/four")
    assert (invalid.status, invalid.json) == (400, {"error": "serial is invalid"})


def test_row_48_name_with_a_dot_has_no_versions_route(client, tools):
    client.post("prod.tfstate", tools.document(1))
    client.post("a/b", tools.document(1))
    answer = client.get("prod.tfstate", "/versions/1")
    assert (answer.status, answer.json) == (404, {"error": "404 Not Found"})
    assert client.get("a/b", "/versions/1").body == tools.document(1)


def test_row_49_delete_version(client, standin, tools):
    developer = client.as_("t-dev")
    assert developer.delete("attic-dev", "/versions/3").status == 403
    assert sorted(standin.truth_of(84, "attic-dev").versions) == [3, 5]
    assert client.delete("attic-dev", "/versions/3").status == 204
    assert standin.truth_of(84, "attic-dev").versions == {5: tools.document(5)}
    assert client.delete("attic-dev", "/versions/3").status == 404


@pytest.mark.parametrize("locked", [True, False])
def test_row_50_deleting_the_newest_brings_the_next_one_back(client, standin, tools, locked):
    if locked:
        client.as_("t-other").lock("attic-dev")
    assert client.delete("attic-dev", "/versions/5").status == 204
    assert client.get("attic-dev").body == tools.document(3)
    assert client.delete("attic-dev", "/versions/3").status == 204
    assert client.get("attic-dev").status == 204


def test_row_51_version_of_a_soft_deleted_state_500(client):
    assert client.get("gone", "/versions/1").status == 500
    assert client.delete("gone", "/versions/1").status == 500
