"""The configuration file: what is taken, and that every mistake names its place."""

import json

import pytest

from migrator.standin import ConfigurationError, Standin, parse_configuration, read_configuration

BASE = {"format": "gitlab-standin/1", "projects": [{"id": 84, "path": "acme/infra"}]}
RULE = {"project": 84, "state_name": "s", "minimum_access_level_for_write": "admin"}
STATE = {"project": 84, "name": "s"}
TEXT = {"text": '{"serial":1}'}


def test_files_are_relative_to_the_configuration(tmp_path):
    (tmp_path / "states").mkdir()
    (tmp_path / "states/one.tfstate").write_bytes(b'{ "serial": 4 }\n')
    version = {"file": "states/one.tfstate"}
    path = tmp_path / "standin.json"
    path.write_text(json.dumps({**BASE, "states": [{**STATE, "versions": [version]}]}))
    (seed,) = read_configuration(path).states[0].versions
    assert (seed.serial, seed.content) == (4, b'{ "serial": 4 }\n')


def test_a_document_with_every_key_starts(tmp_path):
    (tmp_path / "one.tfstate").write_bytes(b'{"serial": 1}')
    document = {
        "format": "gitlab-standin/1",
        "projects": [
            {
                "id": 84,
                "path": "acme/infra",
                "old_paths": ["acme/old"],
                "infrastructure_enabled": True,
                "max_state_bytes": 0,
                "archived": False,
            }
        ],
        "tokens": [
            {
                "value": "t",
                "kind": "pat",
                "user": "maint",
                "scopes": ["api"],
                "roles": {"84": "maintainer"},
                "expired": False,
                "revoked": False,
                "running": True,
            }
        ],
        "states": [
            {
                "project": 84,
                "name": "attic-dev",
                "versions": [{"text": '{"serial": 2}'}, {"file": "one.tfstate"}],
                "locked_by": None,
                "deleted": False,
                "missing_file": True,
            },
            {**STATE, "locked_by": {"user": "alice", "id": "lock-9"}},
            {"project": 84, "name": "by-user", "locked_by": "bob"},
        ],
        "protection_rules": [{"project": 84, "state_name": "attic-prod", "minimum_access_level_for_write": "admin"}],
        "faults": [{"mode": "a", "state": "attic-dev", "after": 0, "times": 1}],
    }
    standin = Standin(parse_configuration(document, tmp_path))
    assert standin.truth_of(84, "attic-dev").versions == {1: b'{"serial": 1}', 2: None}
    assert (standin.truth_of(84, "s").lock.user, standin.truth_of(84, "s").lock.id) == ("alice", "lock-9")
    assert standin.truth_of(84, "by-user").lock.user == "bob"


def test_defaults_are_those_of_the_interface():
    token = {"value": "t", "user": "u"}
    configuration = parse_configuration({**BASE, "tokens": [token], "faults": [{"mode": "a"}, {"mode": "i"}]})
    assert configuration.projects[0].infrastructure_enabled
    assert configuration.tokens[0].kind == "pat"
    assert configuration.protection_rules is None
    assert [fault.times for fault in configuration.faults] == [1, None]


def test_token_value_is_not_shown():
    configuration = parse_configuration({**BASE, "tokens": [{"value": "glpat-secret", "user": "u"}]})
    assert "glpat-secret" not in repr(configuration)


@pytest.mark.parametrize("held", ["alice", {"user": "alice"}, {"user": "alice", "id": "lock-9"}])
def test_locked_by_takes_a_user_or_a_lock(held):
    (state,) = parse_configuration({**BASE, "states": [{**STATE, "locked_by": held}]}).states
    assert state.locked_by.user == "alice"
    assert state.locked_by.id == (held.get("id") if isinstance(held, dict) else None)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"format": "gitlab-standin/2"}, "configuration.format"),
        ({"extra": 1}, "configuration.extra: unknown key"),
        ({"projects": [{"id": "84", "path": "p"}]}, "projects[0].id"),
        ({"projects": [{"id": True, "path": "p"}]}, "projects[0].id"),
        ({"projects": [{"id": 1}]}, "projects[0].path: is missing"),
        ({"projects": [{"id": 1, "path": "p", "colour": "red"}]}, "projects[0].colour: unknown key"),
        ({"projects": [{"id": 1, "path": "p"}, {"id": 1, "path": "q"}]}, "projects: two"),
        ({"tokens": [{"value": "t", "user": "u", "kind": "oauth"}]}, "tokens[0].kind"),
        ({"tokens": [{"value": "t", "user": "u", "roles": {"84": "boss"}}]}, "tokens[0].roles.84"),
        ({"tokens": [{"value": "t", "user": "u", "roles": {"9": "owner"}}]}, "tokens: project 9"),
        ({"tokens": [{"value": "t", "user": "u"}] * 2}, "tokens: two"),
        ({"states": [{**STATE, "project": 9}]}, "states: project 9"),
        ({"states": [STATE, STATE]}, "states: two"),
        ({"states": [{**STATE, "versions": [{}]}]}, "states[0].versions[0]: expected either"),
        ({"states": [{**STATE, "versions": [{**TEXT, "file": "x"}]}]}, "states[0].versions[0]: expected either"),
        ({"states": [{**STATE, "versions": [{"file": "none.tfstate"}]}]}, "states[0].versions[0].file"),
        ({"states": [{**STATE, "versions": [{"text": "{}"}]}]}, "states[0].versions[0]: No serial"),
        ({"states": [{**STATE, "versions": [TEXT, TEXT]}]}, "states[0].versions: two versions"),
        ({"states": [{**STATE, "locked_by": {"user": "u", "x": 1}}]}, "states[0].locked_by.x"),
        ({"faults": [{"mode": "z"}]}, "faults[0].mode"),
        ({"faults": [{"mode": "a", "times": "1"}]}, "faults[0].times"),
        ({"protection_rules": [{"project": 84, "state_name": "s"}]}, "protection_rules[0].minimum_access_level"),
        ({"protection_rules": [{**RULE, "minimum_access_level_for_write": "guest"}]}, "minimum_access_level_for_write"),
        ({"protection_rules": [RULE, RULE]}, "protection_rules: two"),
        ({"projects": {}}, "configuration.projects: expected list"),
    ],
)
def test_a_mistake_names_its_place(tmp_path, change, where):
    with pytest.raises(ConfigurationError) as caught:
        parse_configuration({**BASE, **change}, tmp_path)
    assert where in str(caught.value)


def test_a_file_that_is_absent_or_no_json(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_configuration(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigurationError, match="is not JSON"):
        read_configuration(tmp_path / "bad.json")
