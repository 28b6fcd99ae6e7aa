"""Servers, and proxies in front of them, that echo what they were sent: no credential is quoted, not even half of one."""

import json
from base64 import b64encode
from urllib.parse import quote

import pytest

from migrator.backends.gitlab_http import GitLabSource
from migrator.errors import MigratorError
from tests.backends.conftest import GitLabPlace, S3Place, build_target, lock_info
from tests.support.fault_proxy import Effect, Fault, FaultProxy

TOKEN = "glpat-canary_7f3a"
CREDENTIALS = {
    "access_key": "AKIACANARY7F3A",
    "secret_key": "canary/secret+7f3a",
    "session_token": "canary-session-7f3a",
}
PARTS = ("anary", "7f3a", "7F3A", "Y2FuYXJ5", b64encode(TOKEN.encode()).decode()[:12])


def check_silent(failure: MigratorError) -> None:
    told = f"{failure.message} {failure.where} {failure.now} {failure.hint} {failure!r}"
    assert not [part for part in PARTS if part in told], told


@pytest.mark.parametrize("status", [400, 409, 500])
@pytest.mark.parametrize("code", ["InvalidRequest", "SignatureDoesNotMatch", "Odd{access_key}"])
def test_an_xml_error_that_names_the_keys(moto_place: S3Place, status: int, code: str) -> None:
    # The text is so long that cutting it to its length would cut a key in two.
    said = "x" * 140 + " AWSAccessKeyId {access_key} {secret_key} {session_token}"
    body = (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{said}</Message>"
        "<AWSAccessKeyId>{access_key}</AWSAccessKeyId><StringToSign>{access_key}</StringToSign></Error>"
    ).format(**CREDENTIALS)
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(
            Fault(
                Effect.ANSWER, status=status, headers={"Content-Type": "application/xml"}, body=body.encode(), times=99
            )
        )
        target = build_target(proxy.url, moto_place.bucket, **CREDENTIALS)
        for call in (
            lambda: target.read_state("k"),
            lambda: target.create_state("k", b"{}"),
            lambda: target.acquire_lock("k", lock_info("lock-1")),
            lambda: target.bucket.list_keys("runs/"),
        ):
            with pytest.raises(MigratorError) as failure:
                call()
            check_silent(failure.value)


def test_the_keys_of_a_profile_are_struck_too(moto_place: S3Place, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").write_text(
        f"[acme]\naws_access_key_id = {CREDENTIALS['access_key']}\naws_secret_access_key = {CREDENTIALS['secret_key']}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    body = f"<Error><Code>Odd</Code><Message>who is {CREDENTIALS['access_key']}?</Message></Error>".encode()
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(Fault(Effect.ANSWER, status=400, body=body, times=9))
        target = build_target(proxy.url, moto_place.bucket, access_key=None, secret_key=None, profile="acme")
        with pytest.raises(MigratorError, match=r"who is \[secret\]\?") as failure:
            target.read_state("k")
        check_silent(failure.value)


def page(status: int, text: str, kind: str = "application/json", **headers: str) -> Fault:
    return Fault(Effect.ANSWER, status=status, headers={"Content-Type": kind} | headers, body=text.encode(), times=99)


BASIC = b64encode(f"gitlab-ci-token:{TOKEN}".encode()).decode()
ECHOES = [f"PRIVATE-TOKEN: {TOKEN}", f"Authorization: Basic {BASIC}", f"/x?private_token={quote(TOKEN, safe='')}"]


@pytest.mark.parametrize("username", [None, "gitlab-ci-token"])
@pytest.mark.parametrize("echo", ECHOES, ids=["header", "basic", "query"])
@pytest.mark.parametrize("status", [302, 403, 404, 500])
def test_an_answer_that_echoes_the_request(gitlab: GitLabPlace, status: int, echo: str, username: str | None) -> None:
    said = "x" * 170 + " " + echo
    bodies = [
        page(status, json.dumps({"message": said}), Location=f"http://elsewhere/{quote(echo)}"),
        page(status, json.dumps({"error": said}), Location=f"http://elsewhere/{echo.replace(' ', '')}"),
        page(status, f"<html><body><pre>{echo}</pre></body></html>", "text/html", Location=f"/{quote(echo)}?{echo}"),
    ]
    for fault in bodies:
        with FaultProxy(gitlab.standin.base_url) as proxy:
            proxy.inject(fault)
            ask_everything(gitlab.connect(url=proxy.url, token=TOKEN, username=username))


def ask_everything(source: GitLabSource) -> None:
    for call in (
        source.resolve_project,
        source.list_states,
        lambda: source.read_state("attic-dev"),
        lambda: source.acquire_lock("attic-dev", lock_info("lock-1")),
        lambda: source.write_state("attic-dev", b'{"serial": 8}', serial=8, lock_id="lock-1"),
    ):
        with pytest.raises(MigratorError) as failure:
            call()
        check_silent(failure.value)


def test_a_question_whose_refusal_echoes_the_request(gitlab: GitLabPlace) -> None:
    said = json.dumps({"errors": [{"message": "PRIVATE-TOKEN: t-maint"}]})
    with FaultProxy(gitlab.standin.base_url) as proxy:
        proxy.inject(Fault(Effect.ANSWER, path="graphql", status=200, body=said.encode(), times=9))
        with pytest.raises(MigratorError, match=r"GraphQL refuses.*PRIVATE-TOKEN: \[secret\]"):
            gitlab.connect(url=proxy.url).list_states()
