"""Protection rules: what they keep out, and the routes that make and remove them."""

import json

import pytest

RULES = "/api/v4/projects/84/terraform/state_protection_rules"
SEALED = {"project": 84, "state_name": "attic-dev", "minimum_access_level_for_write": "admin"}
ONLY_CI = {
    "project": 84,
    "state_name": "ci",
    "minimum_access_level_for_write": "maintainer",
    "allowed_from": "ci_only",
}
ADMIN = {"state_name": "new", "minimum_access_level_for_write": "admin"}
WRITES = [("POST", ""), ("DELETE", ""), ("POST", "/lock"), ("DELETE", "/lock")]


@pytest.fixture
def configuration(configuration):
    return {**configuration, "protection_rules": [SEALED, ONLY_CI]}


def send(client, method, tail="", fields=None):
    body = None if fields is None else json.dumps(fields)
    return client.send(method, RULES + tail, body, Content_Type="application/json")


def refuses_lock(client, name):
    return client.lock(name).status == 403


class TestWhoIsKeptOut:
    @pytest.mark.parametrize(("method", "tail"), WRITES)
    def test_a_protected_state_refuses_writes_with_a_reason(self, client, standin, method, tail):
        body = b'{"ID":"x","Operation":"","Info":"","Who":"","Version":"","Created":"","Path":""}'
        answer = client.send(method, client.path("attic-dev", tail), body, Content_Type="application/json")
        assert answer.status == 403
        assert answer.json["message"].startswith("403 Forbidden - ")
        assert client.get("attic-dev").status == 200
        truth = standin.truth_of(84, "attic-dev")
        assert (sorted(truth.versions), truth.lock, truth.deleted, truth.protected) == ([3, 5], None, False, True)

    def test_an_administrator_passes(self, client, tools):
        assert client.as_("t-admin").post("attic-dev", tools.document(6)).status == 200

    def test_ci_only_lets_a_job_in_and_nobody_else(self, client, standin, tools):
        job = {"Authorization": tools.basic("gitlab-ci-token", "j-run")}
        assert client.post("ci", tools.document(1)).status == 403
        assert client.as_(None).post("ci", tools.document(1), **job).status == 200
        assert not standin.truth_of(84, "ci").protected

    def test_removing_a_version_and_the_user_interface_pass_a_rule_by(self, client, standin):
        """The rule is enforced at four routes of the REST API."""
        assert client.delete("attic-dev", "/versions/3").status == 204
        identity = standin.store.find(84, "attic-dev").id
        query = "mutation($i: TerraformStateLockInput!) { terraformStateLock(input: $i) { errors } }"
        answer = client.graphql(query, i={"id": f"gid://gitlab/Terraform::State/{identity}"})
        assert answer.json["data"]["terraformStateLock"]["errors"] == []

    def test_rules_are_listed_and_shown_in_graphql(self, client):
        listed = send(client.as_("t-dev"), "GET")
        assert listed.json[0] == {
            "id": 1,
            "project_id": 84,
            "state_name": "attic-dev",
            "minimum_access_level_for_write": "admin",
            "allowed_from": "anywhere",
        }
        assert [rule["state_name"] for rule in listed.json] == ["attic-dev", "ci"]
        query = '{project(fullPath:"acme/infra"){terraformStates{nodes{name protectionRuleExists}}}}'
        nodes = client.graphql(query).json["data"]["project"]["terraformStates"]["nodes"]
        assert [node["name"] for node in nodes if node["protectionRuleExists"]] == ["attic-dev"]


class TestChange:
    def test_a_new_rule_is_in_force_at_once_and_until_it_is_removed(self, client, standin):
        made = send(client, "POST", fields=ADMIN)
        assert (made.status, made.json) == (201, {"id": 3, "project_id": 84, **ADMIN, "allowed_from": "anywhere"})
        assert refuses_lock(client, "new")
        assert [rule.state_name for rule in standin.rules(84)] == ["attic-dev", "ci", "new"]
        removed = send(client, "DELETE", "/3")
        assert (removed.status, removed.body) == (204, b"")
        assert not refuses_lock(client, "new")
        assert send(client, "DELETE", "/3").status == 404
        assert send(client, "POST", fields=ADMIN).json["id"] == 4

    def test_one_rule_for_each_state_name(self, client, standin):
        again = send(client, "POST", fields={**ADMIN, "state_name": "attic-dev"})
        assert (again.status, again.json) == (422, {"message": {"error": ["State name has already been taken"]}})
        assert len(standin.rules(84)) == 2

    def test_a_rule_is_changed_by_field(self, client):
        changed = send(client, "PATCH", "/1", {"minimum_access_level_for_write": "maintainer"})
        assert (changed.status, changed.json["minimum_access_level_for_write"]) == (200, "maintainer")
        assert not refuses_lock(client, "attic-dev")
        assert send(client, "PATCH", "/1", {"state_name": "ci"}).status == 422
        assert send(client, "PATCH", "/1", {"state_name": "attic-dev"}).status == 200
        assert send(client, "PATCH", "/9", {}).status == 404

    @pytest.mark.parametrize("route", [("POST", ""), ("PATCH", "/1"), ("DELETE", "/1")])
    @pytest.mark.parametrize(("token", "status"), [("t-dev", 403), ("t-read", 403), ("t-none", 404), ("j-run", 401)])
    def test_only_maintainers_change_rules(self, client, standin, route, token, status):
        before = standin.rules(84)
        assert send(client.as_(token), *route, ADMIN).status == status
        assert standin.rules(84) == before

    def test_the_rules_of_another_project_are_not_found(self, client):
        elsewhere = RULES.replace("/84/", "/86/")
        assert client.send("DELETE", f"{elsewhere}/1").status == 404
        assert client.send("GET", elsewhere).json == []

    @pytest.mark.parametrize(
        "change",
        [
            {"state_name": None},
            {"minimum_access_level_for_write": None},
            {"minimum_access_level_for_write": "reporter"},
            {"allowed_from": "home"},
            {"state_name": "n" * 256},
        ],
    )
    def test_a_rule_that_cannot_be_is_400(self, client, standin, change):
        fields = {name: value for name, value in {**ADMIN, **change}.items() if value is not None}
        assert send(client, "POST", fields=fields).status == 400
        assert len(standin.rules(84)) == 2

    def test_a_body_that_is_no_json_and_an_id_that_is_no_number_are_400(self, client):
        assert client.send("POST", RULES, b"{", Content_Type="application/json").status == 400
        assert client.send("DELETE", f"{RULES}/first").status == 400

    def test_other_methods_are_405(self, client):
        assert (send(client, "PUT").status, send(client, "GET", "/1").status) == (405, 405)


class TestOff:
    """Without `protection_rules` in the configuration the feature is off."""

    @pytest.fixture
    def configuration(self, configuration):
        return {name: value for name, value in configuration.items() if name != "protection_rules"}

    @pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("POST", ""), ("PATCH", "/1"), ("DELETE", "/1")])
    def test_every_route_is_404(self, client, method, tail):
        answer = send(client, method, tail, None if method == "GET" else ADMIN)
        assert (answer.status, answer.json) == (404, {"message": "404 Not Found"})
        assert not refuses_lock(client, "attic-dev")
