"""Rows 1 to 10 of section F: who is let in."""

import pytest

ROUTES = [
    ("GET", ""),
    ("POST", ""),
    ("DELETE", ""),
    ("POST", "/lock"),
    ("DELETE", "/lock"),
    ("GET", "/versions/5"),
    ("DELETE", "/versions/5"),
]
WRITES = [(method, tail) for method, tail in ROUTES if method != "GET"]
UNAUTHORIZED = {"message": "401 Unauthorized"}


def untouched(standin):
    truth = standin.truth_of(84, "attic-dev")
    return sorted(truth.versions) == [3, 5] and truth.lock is None and not truth.deleted


@pytest.mark.parametrize(("method", "tail"), ROUTES)
@pytest.mark.parametrize("token", [None, "unknown"])
def test_row_01_without_a_valid_credential_401(client, standin, method, tail, token):
    answer = client.as_(token).send(method, client.path("attic-dev", tail), b"{}")
    assert (answer.status, answer.json) == (401, UNAUTHORIZED)
    assert untouched(standin)


def test_row_02_basic_private_token_and_bearer_are_accepted(client, tools):
    anonymous, path = client.as_(None), client.path("attic-dev")
    for headers in (
        {"Authorization": tools.basic("any user at all", "t-maint")},
        {"PRIVATE_TOKEN": "t-maint"},
        {"Authorization": "Bearer t-maint"},
    ):
        assert anonymous.send("GET", path, **headers).body == tools.document(5)
    assert anonymous.send("GET", path + "?private_token=t-maint").status == 200


def test_row_03_running_job_is_accepted_under_its_own_user_name_only(client, tools):
    anonymous, path = client.as_(None), client.path("attic-dev")
    assert anonymous.send("GET", path, Authorization=tools.basic("gitlab-ci-token", "j-run")).status == 200
    assert anonymous.send("GET", path, Authorization="Bearer j-run").status == 200
    assert anonymous.send("GET", path, Authorization=tools.basic("somebody", "j-run")).status == 401
    locked = anonymous.send(
        "POST",
        path + "/lock",
        '{"ID":"x","Operation":"","Info":"","Who":"","Version":"","Created":"","Path":""}',
        Authorization=tools.basic("gitlab-ci-token", "j-run"),
    )
    assert locked.json["Who"] == "maint"


def test_row_04_finished_job_401(client, tools):
    answer = client.as_(None).send(
        "GET", client.path("attic-dev"), Authorization=tools.basic("gitlab-ci-token", "j-done")
    )
    assert (answer.status, answer.json) == (401, UNAUTHORIZED)


def test_row_05_job_token_header_and_deploy_token_401(client, tools):
    anonymous, path = client.as_(None), client.path("attic-dev")
    assert anonymous.send("GET", path, JOB_TOKEN="j-run").status == 401
    assert anonymous.send("GET", path + "?job_token=j-run").status == 401
    assert anonymous.send("GET", path, Authorization=tools.basic("maint", "d-deploy")).status == 401
    assert client.as_("d-deploy").get("attic-dev").status == 401
    assert client.as_("j-run").get("attic-dev").status == 401


@pytest.mark.parametrize(("method", "tail"), WRITES)
def test_row_06_read_api_token_reads_and_cannot_write(client, standin, method, tail):
    reader = client.as_("t-read")
    assert reader.get("attic-dev").status == 200
    answer = reader.send(method, client.path("attic-dev", tail), b"{}")
    assert (answer.status, answer.json["error"]) == (403, "insufficient_scope")
    assert untouched(standin)


@pytest.mark.parametrize(("method", "tail"), ROUTES)
@pytest.mark.parametrize(("token", "project"), [("t-maint", "0000"), ("t-maint", "acme%2Fnone"), ("t-none", 84)])
def test_row_07_unknown_and_invisible_project_404(client, method, tail, token, project):
    answer = client.as_(token).send(method, client.path("attic-dev", tail, project=project), b"{}")
    assert (answer.status, answer.json) == (404, {"message": "404 Project Not Found"})


def test_row_08_job_whose_user_has_no_access_403(client, tools):
    answer = client.as_(None).send(
        "GET", client.path("attic-dev"), Authorization=tools.basic("gitlab-ci-token", "j-none")
    )
    assert answer.status == 403


def test_row_09_old_path_moves_a_read_and_refuses_a_write(client, tools, standin):
    moved = client.send("GET", client.path("attic-dev", "?x=1", project="acme%2Fold"))
    location = moved.headers["location"]
    assert moved.status == 301
    assert location == f"{standin.base_url}/api/v4/projects/84/terraform/state/attic-dev?x=1"
    assert client.send("GET", location.removeprefix(standin.base_url)).body == tools.document(5)
    for method, tail in WRITES:
        refused = client.send(method, client.path("attic-dev", tail, project="acme%2Fold"), b"{}")
        assert refused.status == 405
        assert refused.json == {"message": "Non GET methods are not allowed for moved projects"}
    assert untouched(standin)


@pytest.mark.parametrize(("method", "tail"), ROUTES)
@pytest.mark.parametrize("who", [("t-rep", 84), ("t-maint", 85)])
def test_row_10_reporter_and_feature_off_403(client, standin, method, tail, who):
    token, project = who
    answer = client.as_(token).send(method, client.path("attic-dev", tail, project=project), b"{}")
    assert (answer.status, answer.json) == (403, {"message": "403 Forbidden"})
    assert untouched(standin)


@pytest.mark.parametrize(("token", "word"), [("t-expired", "expired"), ("t-revoked", "revoked")])
def test_expired_and_revoked_tokens_are_told_apart(client, token, word):
    answer = client.as_(token).get("attic-dev")
    assert (answer.status, answer.json["error"]) == (401, "invalid_token")
    assert word in answer.json["error_description"]


def test_archived_project_stays_writable(client, tools):
    path = client.path("s", project=86)
    assert client.send("POST", path, b'{"serial":1}').status == 200
    assert client.send("GET", path).body == b'{"serial":1}'


def test_broken_basic_header_401(client):
    assert client.as_(None).send("GET", client.path("attic-dev"), Authorization="Basic ???").status == 401


def test_project_path_resolves_to_the_numeric_id(client):
    found = client.send("GET", "/api/v4/projects/acme%2Finfra")
    assert (found.json["id"], found.json["path_with_namespace"]) == (84, "acme/infra")
    assert found.json["permissions"]["project_access"]["access_level"] == 40
    assert client.send("GET", "/api/v4/projects/84").json["id"] == 84
    assert client.as_("t-none").send("GET", "/api/v4/projects/84").status == 404
    assert client.as_(None).send("GET", "/api/v4/projects/84").status == 404
    assert client.send("GET", "/api/v4/projects/acme%2Fold").headers["location"].endswith("/api/v4/projects/84")


def test_user_token_and_version_describe_themselves(client):
    assert client.send("GET", "/api/v4/user").json["username"] == "maint"
    own = client.as_("t-read").send("GET", "/api/v4/personal_access_tokens/self").json
    assert (own["scopes"], own["active"], own["revoked"]) == (["read_api"], True, False)
    assert client.send("GET", "/api/v4/version").json["version"].count(".") == 2
    for path in ("/api/v4/user", "/api/v4/personal_access_tokens/self", "/api/v4/version"):
        assert client.as_(None).send("GET", path).status == 401


def test_group_projects_are_listed_in_pages(client):
    path = "/api/v4/groups/acme/projects?include_subgroups=true&per_page=2"
    first, second = client.send("GET", path), client.send("GET", path + "&page=2")
    assert [project["id"] for project in first.json] == [84, 85]
    assert first.headers["x-next-page"] == "2"
    assert [project["id"] for project in second.json] == [86]
    assert second.headers["x-next-page"] == ""
    assert [project["id"] for project in client.send("GET", "/api/v4/groups/acme/projects").json] == [84, 85]
    assert client.as_("t-none").send("GET", path).status == 404
