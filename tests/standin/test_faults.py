"""The fault modes of section F, each as a client meets it."""

import http.client
import json

import pytest

from migrator.standin import Fault


@pytest.fixture
def arm(standin):
    def arm_one(mode, **fields):
        standin.arm(Fault(mode=mode, **{"state": "attic-dev", **fields}))

    return arm_one


def test_fault_a_commits_and_answers_500_then_the_retry_is_422(client, standin, tools, arm):
    arm("a")
    assert client.post("attic-dev", tools.document(6)).status == 500
    assert standin.truth_of(84, "attic-dev").content == tools.document(6)
    assert client.post("attic-dev", tools.document(6)).status == 422
    assert client.get("attic-dev", "/versions/6").body == tools.document(6)


def test_fault_a_variant_drop_commits_and_closes_the_connection(client, standin, tools, arm):
    arm("a", variant="drop")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        client.post("attic-dev", tools.document(6))
    assert standin.truth_of(84, "attic-dev").content == tools.document(6)
    assert client.post("attic-dev", tools.document(7)).status == 200


def test_fault_b_grants_the_lock_and_loses_the_reply(client, standin, arm):
    arm("b")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        client.lock("attic-dev")
    assert standin.truth_of(84, "attic-dev").lock.id == "lock-1"
    answer = client.lock("attic-dev")
    assert (answer.status, answer.json["ID"]) == (409, "lock-1")


def test_fault_c_hides_the_file(client, arm):
    arm("c", times=2)
    assert [client.get("attic-dev").status for _ in range(3)] == [204, 204, 200]
    query = '{project(fullPath:"acme/infra"){terraformState(name:"attic-dev"){latestVersion{serial}}}}'
    assert client.graphql(query).json["data"]["project"]["terraformState"]["latestVersion"]["serial"] == 5


def test_fault_d_answers_200_and_deletes_nothing(client, standin, arm):
    arm("d")
    assert client.delete("attic-dev").status == 200
    assert not standin.truth_of(84, "attic-dev").deleted
    assert client.delete("attic-dev").status == 200
    assert standin.truth_of(84, "attic-dev").deleted


def test_fault_e_is_422_for_so_many_requests_and_then_404(client, standin, arm):
    arm("e", times=3)
    assert client.delete("attic-dev").status == 200
    assert [client.get("attic-dev").status for _ in range(5)] == [422, 422, 422, 404, 404]
    assert standin.truth_of(84, "attic-dev") is None


@pytest.mark.parametrize("send", ["post", "lock", "unlock", "delete"])
def test_fault_f_is_a_409_that_is_no_lock_info(client, standin, tools, arm, send):
    arm("f")
    work = {
        "post": lambda: client.post("attic-dev", tools.document(6)),
        "lock": lambda: client.lock("attic-dev"),
        "unlock": lambda: client.unlock("attic-dev"),
        "delete": lambda: client.delete("attic-dev"),
    }[send]
    answer = work()
    assert (answer.status, answer.json) == (409, {"message": "409 Conflict: Resource lock"})
    truth = standin.truth_of(84, "attic-dev")
    assert (truth.serial, truth.lock, truth.deleted) == (5, None, False)
    assert work().status == 200


def test_fault_g_throttles(client, arm):
    arm("g", after=1, times=2)
    answers = [client.get("attic-dev") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 429, 429, 200]
    assert answers[1].body.strip() == b"Retry later"
    assert int(answers[1].headers["retry-after"]) >= 1


def test_fault_g_without_a_state_throttles_everything(client, standin):
    standin.arm(Fault(mode="g", times=3))
    assert client.graphql("{currentUser{username}}").status == 429
    assert client.send("GET", "/api/v4/user").status == 429
    assert client.get("attic-dev").status == 429
    assert client.get("attic-dev").status == 200


def test_fault_h_is_413_in_plain_text_before_authentication(client, standin, tools, arm):
    arm("h")
    answer = client.as_(None).post("attic-dev", tools.document(6))
    assert answer.status == 413
    assert answer.headers["content-type"].startswith("text/plain")
    assert standin.truth_of(84, "attic-dev").serial == 5


def test_fault_i_expires_the_token_from_then_on(client, standin, tools):
    standin.arm(Fault(mode="i", after=2, times=None))
    answers = [client.get("attic-dev") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 401, 401]
    assert answers[2].json["error"] == "invalid_token"
    assert client.graphql("{currentUser{username}}").status == 401
    standin.faults.disarm()
    assert client.get("attic-dev").status == 200


def test_fault_j_refuses_a_write_with_a_reason(client, standin, tools, arm):
    arm("j")
    answer = client.post("attic-dev", tools.document(6))
    assert answer.status == 403
    assert answer.json["message"].startswith("403 Forbidden - ")
    assert standin.truth_of(84, "attic-dev").serial == 5


def test_fault_k_breaks_our_lock_before_the_post(client, standin, tools, arm):
    arm("k")
    client.lock("attic-dev", ID="ours")
    assert client.post("attic-dev", tools.document(6), lock_id="ours").status == 500
    truth = standin.truth_of(84, "attic-dev")
    assert (truth.serial, truth.lock) == (5, None)


def test_fault_l_writes_the_next_serial_unless_a_lock_keeps_it_out(client, standin, tools, arm):
    arm("l", after=1)
    assert client.get("attic-dev").body == tools.document(5)
    client.lock("attic-dev")
    assert client.get("attic-dev").body == tools.document(5)
    client.unlock("attic-dev", "lock-1")
    moved = json.loads(client.get("attic-dev").body)
    assert moved == {**json.loads(tools.document(5)), "serial": 6}
    assert sorted(standin.truth_of(84, "attic-dev").versions) == [3, 5, 6]


def test_fault_m_moves_the_project_for_requests_by_path(client, tools, arm):
    arm("m", times=None)
    path = client.path("attic-dev", project="acme%2Finfra")
    assert client.send("GET", path).status == 301
    assert client.send("POST", path, tools.document(6)).status == 405
    assert client.get("attic-dev").status == 200


def test_fault_n_takes_the_late_fields_away(client, standin):
    query = '{project(fullPath:"acme/infra"){terraformStates{nodes{versions{nodes{serial}} protectionRuleExists}}}}'
    assert "errors" not in client.graphql(query).json
    standin.arm(Fault(mode="n", times=None))
    errors = client.graphql(query).json["errors"]
    assert [error["extensions"]["fieldName"] for error in errors] == ["versions", "protectionRuleExists"]
    assert errors[0]["message"] == "Field 'versions' doesn't exist on type 'TerraformState'"
    names = client.graphql('{__type(name:"TerraformState"){fields{name}}}').json["data"]["__type"]["fields"]
    assert {"name": "versions"} not in names


def test_fault_of_another_state_does_not_strike(client, arm):
    arm("c", state="lost", times=None)
    assert client.get("attic-dev").status == 200


def test_times_holds_under_concurrent_requests(client, tools, arm):
    arm("c", times=5)
    statuses = tools.together(12, lambda _: client.get("attic-dev").status)
    assert sorted(statuses) == [200] * 7 + [204] * 5


class TestConfigured:
    @pytest.fixture
    def configuration(self, configuration):
        return {**configuration, "faults": [{"mode": "c", "state": "attic-dev", "after": 1, "times": 1}]}

    def test_faults_come_from_the_configuration(self, client):
        assert [client.get("attic-dev").status for _ in range(3)] == [200, 204, 200]
