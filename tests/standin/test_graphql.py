"""Rows 52 to 55 of section F: what GraphQL shows, and its mutations."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.standin.graphql_language import QueryError, parse_query
from migrator.standin.graphql_paging import PAGE_LIMIT, build_page

SWEEP = """
query($p: ID!, $after: String) { project(fullPath: $p) { id
  terraformStates(first: 100, after: $after) { count pageInfo { hasNextPage endCursor }
    nodes { id name deletedAt lockedAt lockedByUser { username } latestVersion { serial createdAt downloadPath } } } } }
"""
GROUP = """
query($g: ID!, $after: String) { group(fullPath: $g) {           # group sweep
  projects(includeSubgroups: true, first: 20, after: $after) { pageInfo { hasNextPage endCursor }
    nodes { id fullPath archived terraformStates(first: 50) { count pageInfo { hasNextPage endCursor }
      nodes { name deletedAt lockedAt latestVersion { serial } } } } } } }
"""
VERSIONS = """
query($p: ID!, $n: String!, $first: Int = 100, $after: String) { project(fullPath: $p) { terraformState(name: $n) {
  versions(first: $first, after: $after) { pageInfo { hasNextPage endCursor }
    nodes { serial createdAt createdByUser { username } } } } } }
"""


def states(client, query=SWEEP, **variables):
    return client.graphql(query, p="acme/infra", **variables).json["data"]["project"]["terraformStates"]


def state_id(client, name):
    return next(node["id"] for node in states(client)["nodes"] if node["name"] == name)


def test_row_52_states_by_name_with_everything_a_client_needs(client, tools):
    client.lock("phantom")
    found = states(client.as_("t-dev"))
    by_name = {node["name"]: node for node in found["nodes"]}
    assert list(by_name) == ["attic-dev", "gone", "lost", "phantom"]
    assert found["count"] == 4
    assert found["pageInfo"]["hasNextPage"] is False
    attic = by_name["attic-dev"]
    assert attic["latestVersion"]["serial"] == 5
    assert client.send("GET", attic["latestVersion"]["downloadPath"]).body == tools.document(5)
    assert (attic["lockedAt"], attic["lockedByUser"], attic["deletedAt"]) == (None, None, None)
    assert by_name["gone"]["deletedAt"]
    assert by_name["phantom"]["latestVersion"] is None
    assert by_name["phantom"]["lockedByUser"] == {"username": "maint"}
    assert by_name["phantom"]["lockedAt"]
    assert "lock-1" not in json.dumps(found)


def test_row_52_pages_of_at_most_100(client, tools):
    for index in range(230):
        client.post(f"s-{index:03}", tools.document(1))
    names, cursor, sizes = [], None, []
    while True:
        page = states(client, SWEEP.replace("100", "500"), after=cursor)
        sizes.append(len(page["nodes"]))
        names += [node["name"] for node in page["nodes"]]
        assert page["count"] == 233
        if not page["pageInfo"]["hasNextPage"]:
            break
        cursor = page["pageInfo"]["endCursor"]
    assert sizes == [100, 100, 33]
    assert names == sorted(["attic-dev", "gone", "lost", *(f"s-{index:03}" for index in range(230))])


def test_row_52_group_sweep(client):
    groups = client.graphql(GROUP, g="acme").json["data"]["group"]["projects"]["nodes"]
    assert [(node["fullPath"], node["archived"]) for node in groups] == [
        ("acme/infra", False),
        ("acme/off", False),
        ("acme/deep/small", True),
    ]
    assert groups[0]["terraformStates"]["count"] == 3
    assert client.graphql(GROUP, g="nobody").json["data"]["group"] is None


def test_row_53_no_permission_is_empty_and_never_an_error(client, tools):
    assert states(client.as_("t-rep")) == {
        "count": 0,
        "pageInfo": {"hasNextPage": False, "endCursor": None},
        "nodes": [],
    }
    off = client.graphql(SWEEP, p="acme/off").json["data"]["project"]
    assert off["terraformStates"]["nodes"] == []
    for answer in (
        client.as_("t-none").graphql(SWEEP, p="acme/infra"),
        client.as_(None).graphql(SWEEP, p="acme/infra"),
        client.graphql(SWEEP, p="acme/nowhere"),
        client.graphql(SWEEP, p="acme/old"),
    ):
        assert (answer.status, answer.json) == (200, {"data": {"project": None}})


def test_row_53_bad_credentials_are_the_one_http_error(client, tools):
    assert client.as_("unknown").graphql(SWEEP, p="acme/infra").status == 401
    assert client.as_("t-expired").graphql(SWEEP, p="acme/infra").status == 401
    assert client.as_("j-run").graphql(SWEEP, p="acme/infra").status == 401
    assert states(client.as_("t-read"))["count"] == 3


def test_row_54_versions_newest_first_in_pages(client, tools):
    for serial in (9, 7, 8):
        client.post("attic-dev", tools.document(serial))
    seen, cursor = [], None
    for _ in range(10):
        answer = client.graphql(VERSIONS, p="acme/infra", n="attic-dev", first=2, after=cursor)
        page = answer.json["data"]["project"]["terraformState"]["versions"]
        seen.append([node["serial"] for node in page["nodes"]])
        if not page["pageInfo"]["hasNextPage"]:
            break
        cursor = page["pageInfo"]["endCursor"]
    assert seen == [[9, 8], [7, 5], [3]]
    assert client.graphql(VERSIONS, p="acme/infra", n="none").json["data"]["project"]["terraformState"] is None


class TestMutations:
    @staticmethod
    def change(client, mutation, identity):
        query = f"mutation($i: TerraformStateID!) {{ {mutation}(input: {{id: $i}}) {{ errors }} }}"
        return client.graphql(query, i=identity)

    def test_row_55_lock_takes_an_id_nobody_knows(self, client, standin, tools):
        answer = self.change(client, "terraformStateLock", state_id(client, "attic-dev"))
        assert answer.json == {"data": {"terraformStateLock": {"errors": []}}}
        lock = standin.truth_of(84, "attic-dev").lock
        assert (len(lock.id), lock.user) == (36, "maint")
        assert client.post("attic-dev", tools.document(6)).status == 500
        again = self.change(client, "terraformStateLock", state_id(client, "attic-dev"))
        assert again.json["data"]["terraformStateLock"]["errors"] == ["state is already locked"]

    def test_row_55_delete_refuses_a_locked_state_and_unlock_needs_no_id(self, client, standin):
        client.lock("attic-dev")
        identity = state_id(client, "attic-dev")
        refused = self.change(client, "terraformStateDelete", identity)
        assert refused.json["data"]["terraformStateDelete"]["errors"] == ["Cannot remove a locked state"]
        assert (
            self.change(client, "terraformStateUnlock", identity).json["data"]["terraformStateUnlock"]["errors"] == []
        )
        assert standin.truth_of(84, "attic-dev").lock is None
        assert (
            self.change(client, "terraformStateDelete", identity).json["data"]["terraformStateDelete"]["errors"] == []
        )
        assert standin.truth_of(84, "attic-dev").deleted

    @pytest.mark.parametrize("token", ["t-dev", "t-read", "t-none", None])
    def test_row_55_mutations_need_a_maintainer(self, client, standin, token):
        identity = state_id(client, "attic-dev")
        answer = self.change(client.as_(token), "terraformStateLock", identity)
        assert answer.status == 200
        assert answer.json["data"] == {"terraformStateLock": None}
        assert "permission" in answer.json["errors"][0]["message"]
        assert standin.truth_of(84, "attic-dev").lock is None


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ('{project(fullPath:"acme/infra"){nope}}', "undefinedField"),
        ('{project(fullPath:"acme/infra",x:1){id}}', "argumentNotAccepted"),
        ("{project{id}}", "missingRequiredArguments"),
        ('{project(fullPath:"acme/infra")}', "selectionMismatch"),
        ('{project(fullPath:"acme/infra"){id{x}}}', "selectionMismatch"),
    ],
)
def test_mistakes_are_errors_in_a_200(client, query, code):
    answer = client.graphql(query)
    assert answer.status == 200
    assert [error["extensions"]["code"] for error in answer.json["errors"]] == [code]
    assert "data" not in answer.json


@pytest.mark.parametrize(
    "query", ["", "{", "{project(fullPath:", "query { } }", "subscription{a}", "{a}}", "{a(b:'c')}"]
)
def test_text_that_is_no_query_is_a_parse_error_with_a_place(client, query):
    answer = client.graphql(query)
    assert answer.status == 200
    assert answer.json["errors"][0]["message"].startswith("Parse error")
    assert answer.json["errors"][0]["locations"]


def test_missing_variable_and_bad_body(client):
    assert "$p" in client.graphql(SWEEP).json["errors"][0]["message"]
    assert client.send("POST", "/api/graphql", b"{").status == 400
    assert client.send("POST", "/api/graphql", b"{}").json["errors"]
    assert client.send("GET", "/api/graphql").status == 404


def test_aliases_fragments_directives_and_introspection(client):
    query = """
    query Q($deep: Boolean = false) {
      mine: project(fullPath: "acme/infra") { ...P s: terraformStates(last: 1) { edges { cursor node { __typename name } }
        nodes @include(if: $deep) { id } } }
      currentUser { username }
      __type(name: "TerraformState") { fields { name } }
    }
    fragment P on Project { path: fullPath ... on Project { id } ... @skip(if: true) { name } }
    """
    data = client.graphql(query).json["data"]
    assert data["mine"]["path"] == "acme/infra"
    assert data["mine"]["id"] == "gid://gitlab/Project/84"
    assert set(data["mine"]) == {"path", "id", "s"}
    assert [edge["node"] for edge in data["mine"]["s"]["edges"]] == [{"__typename": "TerraformState", "name": "lost"}]
    assert "nodes" not in data["mine"]["s"]
    assert data["currentUser"] == {"username": "maint"}
    assert {"name": "versions"} in data["__type"]["fields"]


def test_fragments_that_contain_each_other_end(client):
    query = "{currentUser{...A}} fragment A on UserCore{...B} fragment B on UserCore{...A}"
    assert client.graphql(query).json["errors"]


@given(st.text(alphabet='{}()[]:$!@.,"\\ abc123\n#-|&=', max_size=60))
def test_any_text_parses_or_is_refused(text):
    try:
        operations = parse_query(text).operations
    except QueryError as error:
        place = error.entry["locations"][0]
        if place["line"] < 1 or place["column"] < 1:
            raise AssertionError(place) from error
        return
    assert operations


@given(st.sets(st.integers(0, 2000)), st.integers(1, 150))
def test_pages_put_together_are_the_whole_list(keys, size):
    keyed = [(key, str(key)) for key in sorted(keys)]
    seen, cursor = [], None
    for _ in range(len(keyed) + 1):
        page = build_page(keyed, {"first": size, "after": cursor})
        assert len(page.edges) <= min(size, PAGE_LIMIT)
        seen += [edge.node for edge in page.edges]
        if not page.has_next:
            break
        cursor = page.edges[-1].cursor
    assert seen == [item for _, item in keyed]


@given(st.sets(st.integers(0, 50), min_size=1), st.sets(st.integers(0, 50)))
def test_cursor_stays_right_while_rows_come_and_go(before, after):
    first = build_page([(key, key) for key in sorted(before)], {"first": 3})
    last = first.edges[-1].node
    rest = build_page([(key, key) for key in sorted(after)], {"after": first.edges[-1].cursor})
    assert [edge.node for edge in rest.edges] == sorted(key for key in after if key > last)
