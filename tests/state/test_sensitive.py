"""Which values of a document nobody may print. The documents are as OpenTofu 1.12 writes them."""

import json

import pytest

from migrator.state.sensitive import find_sensitive_values

PASSWORD = "hunter2-secret"


def document(attributes, *paths):
    instance = {"schema_version": 0, "attributes": attributes, "sensitive_attributes": list(paths)}
    resource = {"mode": "managed", "type": "x", "name": "a", "instances": [instance]}
    return json.dumps({"version": 4, "serial": 1, "outputs": {}, "resources": [resource]}).encode()


def step(name):
    return {"type": "get_attr", "value": name}


def index(key):
    return {"type": "index", "value": {"value": key, "type": "number" if isinstance(key, int) else "string"}}


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (document({"password": PASSWORD, "user": "root-user"}, [step("password")]), {PASSWORD}),
        (document({"block": [{"key": PASSWORD, "name": "plain"}]}, [step("block"), index(0), step("key")]), {PASSWORD}),
        (document({"map": {"one": PASSWORD, "two": "plain"}}, [step("map"), index("one")]), {PASSWORD}),
        (
            document(
                {"input": {"value": {"pass": PASSWORD, "list": ["x", PASSWORD]}, "type": ["object", {"pass": "string"}]}},
                [step("input"), step("pass")],
                [step("input"), step("list"), index(1)],
            ),
            {PASSWORD},
        ),
        (document({"input": {"value": PASSWORD, "type": "string"}}, [step("input")]), {PASSWORD}),
        (document({"outer": {"inner": PASSWORD}}, [step("outer"), step("unknown")]), {PASSWORD}),
        (document({"key": "first line\nsecond line"}, [step("key")]), {"first line\nsecond line", "first line", "second line"}),
        (document({"short": "dev", "count": 1234567, "on": True, "none": None}, *[[step(n)] for n in ("short", "count", "on")]), set()),
        (b'{"outputs": {"o": {"value": {"a": ["hunter2-secret"]}, "sensitive": true}, "p": {"value": "plain"}}}', {PASSWORD}),
    ],
    ids=["attribute", "block", "map", "dynamic", "dynamic whole", "unknown step", "lines", "no text", "output"],
)  # fmt: skip
def test_what_is_marked_is_found_and_nothing_else(data, found):
    assert find_sensitive_values(data) == found


@pytest.mark.parametrize(
    "data",
    [b"", b"no json", b"[1]", b"null", b'{"outputs": [], "resources": {"a": 1}}', b'{"resources": [{"instances": [7]}]}',
     b'{"encrypted_data": "eA==", "encryption_version": "v0"}', b"[" * 100_000, document(None, [step("a")]), document([], 7)],
)  # fmt: skip
def test_a_document_of_any_other_shape_has_none(data):
    assert find_sensitive_values(data) == frozenset()
