"""A stand-in with one of everything, and a client that knows nothing: raw HTTP, what came back."""

import base64
import http.client
import json
import threading
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import pytest

from migrator.standin import Standin, parse_configuration

PROJECT = {"id": 84, "path": "acme/infra", "old_paths": ["acme/old"]}
TOKENS = [
    {"value": "t-maint", "user": "maint", "roles": {"84": "maintainer", "85": "maintainer", "86": "maintainer"}},
    {"value": "t-other", "user": "other", "roles": {"84": "maintainer"}},
    {"value": "t-dev", "user": "dev", "roles": {"84": "developer"}},
    {"value": "t-rep", "user": "rep", "roles": {"84": "reporter"}},
    {"value": "t-admin", "user": "root", "roles": {"84": "admin"}},
    {"value": "t-none", "user": "stranger", "roles": {}},
    {"value": "t-read", "user": "reader", "scopes": ["read_api"], "roles": {"84": "maintainer"}},
    {"value": "t-expired", "user": "maint", "expired": True, "roles": {"84": "maintainer"}},
    {"value": "t-revoked", "user": "maint", "revoked": True, "roles": {"84": "maintainer"}},
    {"value": "j-run", "kind": "job", "user": "maint", "roles": {"84": "maintainer"}},
    {"value": "j-done", "kind": "job", "user": "maint", "running": False, "roles": {"84": "maintainer"}},
    {"value": "j-none", "kind": "job", "user": "stranger", "roles": {}},
    {"value": "d-deploy", "kind": "deploy", "user": "maint", "roles": {"84": "maintainer"}},
]
LOCK_INFO = {
    "ID": "lock-1",
    "Operation": "OperationTypeApply",
    "Info": "",
    "Who": "me@here",
    "Version": "1.12.6",
    "Created": "2026-01-02T03:04:05Z",
    "Path": "",
}


def document(serial, **more):
    """A state document, as bytes with a spacing of their own: a server that re-serialises is found out."""
    return json.dumps({"version": 4, "serial": serial, "lineage": "l-1", **more}, indent=3).encode() + b"\n"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Client:
    """Raw requests to one stand-in; each answers with status, headers and bytes."""

    def __init__(self, base_url, token):
        parts = urlsplit(base_url)
        self.host, self.port, self.token = parts.hostname, parts.port, token

    def as_(self, token):
        return Client(f"http://{self.host}:{self.port}", token)

    def send(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["PRIVATE-TOKEN"] = self.token
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    @staticmethod
    def path(name, tail="", project=84):
        return f"/api/v4/projects/{project}/terraform/state/{quote(name, safe='')}{tail}"

    def get(self, name, tail=""):
        return self.send("GET", self.path(name, tail))

    def post(self, name, body, lock_id=None, **headers):
        tail = "" if lock_id is None else f"?ID={quote(lock_id)}"
        return self.send("POST", self.path(name, tail), body, Content_Type="application/json", **headers)

    def delete(self, name, tail=""):
        return self.send("DELETE", self.path(name, tail))

    def lock(self, name, **changes):
        info = json.dumps({**LOCK_INFO, **changes})
        return self.send("POST", self.path(name, "/lock"), info, Content_Type="application/json")

    def unlock(self, name, lock_id=None):
        body = None if lock_id is None else json.dumps({"ID": lock_id})
        headers = {} if body is None else {"Content_Type": "application/json"}
        return self.send("DELETE", self.path(name, "/lock"), body, **headers)

    def graphql(self, query, **variables):
        body = json.dumps({"query": query, "variables": variables})
        return self.send("POST", "/api/graphql", body, Content_Type="application/json")


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def together(count, work):
    """Run `work(index)` in that many threads, started at once; the results in order."""
    barrier, results = threading.Barrier(count), [None] * count

    def run(index):
        barrier.wait()
        results[index] = work(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture
def configuration():
    """The configuration document; a test may change it before it asks for `standin`."""
    return {
        "format": "gitlab-standin/1",
        "projects": [
            dict(PROJECT),
            {"id": 85, "path": "acme/off", "infrastructure_enabled": False},
            {"id": 86, "path": "acme/deep/small", "max_state_bytes": 100, "archived": True},
        ],
        "tokens": [dict(token) for token in TOKENS],
        "states": [
            {
                "project": 84,
                "name": "attic-dev",
                "versions": [{"text": document(3).decode()}, {"text": document(5).decode()}],
            },
            {"project": 84, "name": "gone", "versions": [{"text": document(1).decode()}], "deleted": True},
            {"project": 84, "name": "lost", "versions": [{"text": document(1).decode()}], "missing_file": True},
        ],
        "faults": [],
    }


@pytest.fixture
def standin(configuration):
    with Standin(parse_configuration(configuration)) as running:
        yield running


@pytest.fixture
def client(standin):
    return Client(standin.base_url, "t-maint")


@pytest.fixture
def tools():
    """What tests build requests with."""
    return Tools


class Tools:
    Client = Client
    basic = staticmethod(basic)
    document = staticmethod(document)
    together = staticmethod(together)
    LOCK_INFO = LOCK_INFO
