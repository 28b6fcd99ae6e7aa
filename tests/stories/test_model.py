"""The model answers as the real backends do on real servers, call by call, and is left in the same state."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, is_dataclass, replace
from hashlib import sha256
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.backends.base import Protection
from migrator.backends.gitlab_http import GitLabSource
from migrator.backends.lock_info import LockInfo
from migrator.backends.s3 import S3Target
from migrator.backends.s3_run_store import S3RunStore
from migrator.errors import MigratorError
from migrator.standin import Standin, parse_configuration
from tests.stories.model import GitLabModel, RunStoreModel, S3Model
from tests.support.watcher import LOCK_SUFFIX, StandinSource
from tests.support.world import BUCKET, PROJECT, QUICK, TOKEN, build_target, document, start_bucket

Call = tuple[str, tuple[Any, ...], dict[str, Any]]

DOCUMENTS: dict[str, bytes | None] = {"a": document(3), "b.c d": None}
DATA = st.sampled_from([document(serial, note=note) for serial in (2, 3, 4, 5) for note in ("x", "y")] + [document(3)])
IDS = st.sampled_from(["lock-1", "lock-2"])
INFOS = st.builds(lambda one: LockInfo(id=one, operation="o", who="me@here", created="2026-01-02T03:04:05Z"), IDS)
NAMES = st.sampled_from([*DOCUMENTS, "unknown"])
KNOWN = st.sampled_from(list(DOCUMENTS))
KEYS = st.sampled_from(["k/1", "k/2"])


def call(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.tuples(st.just(name), st.tuples(*arguments), st.just({}))


GITLAB_CALLS = st.lists(
    st.one_of(
        call("list_states"),
        call("read_state", NAMES),
        call("read_version", st.sampled_from(["a", "unknown"]), st.integers(1, 6)),
        call("acquire_lock", NAMES, INFOS),
        call("release_lock", NAMES, IDS),
        call("read_lock", NAMES, st.one_of(IDS, st.just(""))),
        st.builds(
            lambda name, data, lock_id: (
                "write_state",
                (name, data),
                {"serial": int(data.split(b'"serial": ')[1][:1]), "lock_id": lock_id},
            ),
            NAMES,
            DATA,
            IDS,
        ),
        call("read_protection", NAMES),
        call("protect_state", KNOWN),
        call("unprotect_state", NAMES, st.integers(1, 3)),
        call("protect", KNOWN, st.sampled_from(["admin", "maintainer"]), st.just("anywhere")),
        call("change_rule", KNOWN, st.sampled_from(["admin", "maintainer"])),
        call("remove_rule", KNOWN),
        call("force_unlock", KNOWN),
        call("write_past_lock", KNOWN, DATA),
    ),
    max_size=25,
)
S3_CALLS = st.lists(
    st.one_of(
        call("read_state", KEYS),
        call("create_state", KEYS, DATA),
        st.builds(lambda key, data: ("remove_state", (key,), {"sha256": sha256(data).hexdigest()}), KEYS, DATA),
        call("acquire_lock", KEYS, INFOS),
        call("check_lock", KEYS, IDS),
        call("release_lock", KEYS, IDS),
        call("read_lock", KEYS, st.one_of(IDS, st.just(""))),
        call("put", KEYS, st.one_of(DATA, st.just(b""))),
        call("put", KEYS.map(lambda key: key + LOCK_SUFFIX), st.sampled_from([b"?", b"", b'{"ID":"lock-1"}'])),
        call("remove", KEYS),
    ),
    max_size=25,
)


NAMES_OF_A_RUN = st.sampled_from(["runs/1/lock", "runs/1/plan.json", "runs/2/plan.json"])
STORE_CALLS = st.lists(
    st.one_of(
        call("list_names", st.sampled_from(["", "runs/1/", "runs/3"])),
        call("read", NAMES_OF_A_RUN),
        call("create", NAMES_OF_A_RUN, DATA),
        st.builds(lambda name, data: ("remove", (name,), {"sha256": sha256(data).hexdigest()}), NAMES_OF_A_RUN, DATA),
    ),
    max_size=25,
)


class RealGitLab(GitLabSource):
    """The backend on the stand-in, and what others do there."""

    row_ids: dict[str, int]

    def force_unlock(self, name: str) -> None:
        state = f"gid://gitlab/Terraform::State/{self.row_ids[name]}"
        query = f'mutation {{ terraformStateUnlock(input: {{id: "{state}"}}) {{ errors }} }}'
        assert self._exchange.write("POST", "/api/graphql", body=json.dumps({"query": query}).encode()).status == 200

    def write_past_lock(self, name: str, data: bytes) -> bool:
        return self._exchange.write("POST", self._state_path(name), body=data).status == 200

    def protect(self, name: str, level: str, allowed_from: str) -> bool:
        rule = {"state_name": name, "minimum_access_level_for_write": level, "allowed_from": allowed_from}
        return self._exchange.write("POST", self._rules_path(), body=json.dumps(rule).encode()).status == 201

    def change_rule(self, name: str, level: str) -> None:
        if rule := self.read_protection(name).rule:
            body = json.dumps({"minimum_access_level_for_write": level}).encode()
            self._exchange.write("PATCH", f"{self._rules_path()}/{rule.id}", body=body)

    def remove_rule(self, name: str) -> None:
        if rule := self.read_protection(name).rule:
            self._exchange.write("DELETE", f"{self._rules_path()}/{rule.id}", body=b"")


class RealS3(S3Target):
    """The backend on moto, below a prefix of its own, and what others do there."""

    others: Any

    def put(self, key: str, data: bytes) -> None:
        self.others.put_object(Bucket=BUCKET, Key=key, Body=data)

    def remove(self, key: str) -> None:
        self.others.delete_object(Bucket=BUCKET, Key=key)


@contextmanager
def start_gitlab(*, rules: bool) -> Iterator[tuple[RealGitLab, Standin]]:
    states = [
        {"project": PROJECT, "name": name, "versions": [] if data is None else [{"text": data.decode()}]}
        for name, data in DOCUMENTS.items()
    ]
    configuration = {
        "format": "gitlab-standin/1",
        "projects": [{"id": PROJECT, "path": "acme/infra"}],
        "tokens": [{"value": TOKEN, "user": "maint", "roles": {str(PROJECT): "maintainer"}}],
        "states": states,
    } | ({"protection_rules": []} if rules else {})
    with Standin(parse_configuration(configuration)) as standin:
        real = RealGitLab(url=standin.base_url, project=PROJECT, token=TOKEN, retry=QUICK)
        real.row_ids = {row.name: row.id for row in standin.store.rows(PROJECT)}
        yield real, standin


def answer(backend: Any, name: str, arguments: Sequence[Any], more: dict[str, Any]) -> Any:
    """What a call gives, without times: the class of an error, the value else."""
    try:
        found = getattr(backend, name)(*arguments, **more)
    except MigratorError as error:
        return type(error)
    if isinstance(found, tuple):
        return [astuple(replace(one, locked_at=None)) for one in found]
    if isinstance(found, Protection):
        return found.rule, bool(found.reason), found.known
    if isinstance(found, LockInfo):
        return found.id, found.who
    return astuple(found) if is_dataclass(found) and not isinstance(found, type) else found


@settings(max_examples=40)
@given(GITLAB_CALLS, st.booleans())
def test_gitlab_answers_as_the_model_does(calls: list[Call], rules: bool) -> None:
    model = GitLabModel(DOCUMENTS, rules=rules)
    with start_gitlab(rules=rules) as (real, standin):
        for name, arguments, more in calls:
            assert answer(model, name, arguments, more) == answer(real, name, arguments, more), (name, arguments)
        truth = StandinSource(standin, PROJECT)
        for name in (*DOCUMENTS, "unknown"):
            assert model.look(name) == truth.look(name)


@pytest.fixture(scope="module")
def s3() -> Iterator[RealS3]:
    server = start_bucket()
    target = build_target(server)
    target.__class__ = RealS3
    target.others = server.client()
    yield target
    server.stop()


_prefixes = count(1)


def check_objects(s3: RealS3, prefix: str, model: S3Model) -> None:
    listed = s3.others.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    found = {one["Key"]: s3.others.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read() for one in listed}
    assert found == model.objects


@settings(max_examples=40)
@given(calls=S3_CALLS)
def test_s3_answers_as_the_model_does(s3: RealS3, calls: list[Call]) -> None:
    prefix, model = f"example-{next(_prefixes)}/", S3Model(BUCKET)
    for name, (key, *arguments), more in calls:
        same = (name, [prefix + key, *arguments], more)
        assert answer(model, *same) == answer(s3, *same), same
    check_objects(s3, prefix, model)


@settings(max_examples=25)
@given(calls=STORE_CALLS)
def test_a_run_store_answers_as_the_model_does(s3: RealS3, calls: list[Call]) -> None:
    prefix, bucket = f"example-{next(_prefixes)}", S3Model(BUCKET)
    model, real = RunStoreModel(bucket, prefix), S3RunStore(s3.bucket, prefix)
    for name, arguments, more in calls:
        assert answer(model, name, arguments, more) == answer(real, name, arguments, more), (name, arguments)
    check_objects(s3, prefix, bucket)
