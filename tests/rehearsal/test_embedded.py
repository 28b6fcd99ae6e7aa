"""The embedded servers hold exactly what they were given, are empty where they should be, and end."""

import os
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from migrator.backends.base import Presence
from migrator.backends.gitlab_http import GitLabSource
from migrator.backends.lock_info import LockInfo
from migrator.backends.s3 import S3Target
from migrator.errors import ConfigurationError
from migrator.rehearsal import embedded as module
from migrator.rehearsal.embedded import Embedded, run_embedded
from migrator.rehearsal.estate import RecordedVersion, recorded_states, sample_root


def servers() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "migrator.rehearsal.server" in child.cmdline()]


def source_of(embedded: Embedded) -> GitLabSource:
    return GitLabSource(url=embedded.source_url, project=embedded.project_path, token=embedded.credentials.token)


def target_of(embedded: Embedded) -> S3Target:
    return S3Target(
        endpoint=embedded.target_url,
        bucket=embedded.bucket,
        region="us-east-1",
        path_style=True,
        access_key=embedded.credentials.access_key,
        secret_key=embedded.credentials.secret_key,
    )


def test_both_servers_serve_what_they_were_given_and_end_with_the_block(tmp_path: Path) -> None:
    states = recorded_states(sample_root() / "fixtures" / "states")
    with run_embedded(
        {**states, "never written": ()}, project_id=7, project_path="acme/net", bucket="states", directory=tmp_path
    ) as embedded:
        assert len(servers()) == 2
        assert all(url.startswith("http://127.0.0.1:") for url in (embedded.source_url, embedded.target_url))
        source, target = source_of(embedded), target_of(embedded)
        assert source.resolve_project().id == 7
        assert {listed.name for listed in source.list_states()} == {*states, "never written"}
        for name, versions in states.items():
            assert source.read_state(name).data == versions[-1].path.read_bytes()
        assert source.read_state("never written").presence is not Presence.PRESENT
        assert embedded.list_target_keys() == ()
        target.create_state("a/b", b"{}")
        target.acquire_lock("a/b", LockInfo(id="0b8f4a4e-0f5e-4a58-a1a6-1c54f1d5a5f7"))
        assert embedded.list_target_keys() == ("a/b", "a/b.tflock")
        started = servers()
        url = embedded.source_url
        logs = embedded.credentials
    assert not any(server.is_running() for server in started)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=2)
    for secret in (logs.token, logs.access_key, logs.secret_key):
        assert secret not in repr(embedded)
        assert not any(secret in path.read_text() for path in tmp_path.glob("*.log"))
    assert (tmp_path / "source.json").stat().st_mode & 0o777 == 0o600


def test_every_key_of_a_large_bucket_is_listed(tmp_path: Path) -> None:
    with run_embedded({}, project_id=7, project_path="acme/net", bucket="states", directory=tmp_path) as embedded:
        target = target_of(embedded)
        names = [f"a&b/{number:04}" for number in range(1003)]  # a page holds 1000
        for name in names:
            target.create_state(name, b"{}")
        assert embedded.list_target_keys() == tuple(names)


def test_servers_end_when_the_block_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="in the block"),
        run_embedded({}, project_id=7, project_path="acme/net", bucket="states", directory=tmp_path),
    ):
        raise RuntimeError("in the block")
    assert servers() == []


def test_a_server_that_cannot_start_says_why_and_takes_the_other_with_it(tmp_path: Path) -> None:
    (tmp_path / "1.tfstate").write_text("no state document")
    states = {"network-dev": [RecordedVersion(serial=1, path=tmp_path / "1.tfstate")]}
    with (
        pytest.raises(ConfigurationError, match=r"the embedded source did not start: .*versions\[0\]"),
        run_embedded(states, project_id=7, project_path="acme/net", bucket="states", directory=tmp_path),
    ):
        pytest.fail("it started")
    assert servers() == []


def test_a_missing_s3_server_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_PACKAGES", ("moto", "a_package_that_nobody_has"))
    with (
        pytest.raises(ConfigurationError, match="a_package_that_nobody_has is not installed") as raised,
        run_embedded({}, project_id=7, project_path="acme/net", bucket="states", directory=tmp_path),
    ):
        pytest.fail("it started")
    assert raised.value.hint == "pip install 'tofu-state-migrator[rehearse]'"
    assert list(tmp_path.iterdir()) == []


def test_the_servers_of_two_rehearsals_do_not_meet(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("one", "two")]
    for place in places:
        place.mkdir()
    began = time.monotonic()
    with (
        run_embedded({}, project_id=7, project_path="a/b", bucket="states", directory=places[0]) as one,
        run_embedded({}, project_id=7, project_path="a/b", bucket="states", directory=places[1]) as two,
    ):
        assert len({one.source_url, one.target_url, two.source_url, two.target_url}) == 4
        target_of(one).create_state("key", b"{}")
        assert two.list_target_keys() == ()
        assert one.credentials != two.credentials
    assert time.monotonic() - began < 60
    assert os.environ.get("AWS_SECRET_ACCESS_KEY") != one.credentials.secret_key
