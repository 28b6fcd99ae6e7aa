"""A whole story behind proxies that echo every header of a request in their error pages: nothing of it is told or kept."""

import itertools
import json
from contextlib import ExitStack

import pytest

from tests.cli.lab import TOKEN
from tests.support.fault_proxy import Effect, Fault, FaultProxy

KEYS = {"AWS_ACCESS_KEY_ID": "AKIACANARY7F3A", "AWS_SECRET_ACCESS_KEY": "canary/secret+7f3a"}
SENT = {"source": (TOKEN,), "target": tuple(KEYS.values())}


def build_pages(secrets):
    said = " ".join(["x" * 150, *secrets])
    return (
        json.dumps({"message": said, "error": said}),
        f"<?xml version='1.0'?><Error><Code>Odd</Code><Message>{said}</Message></Error>",
        f"<html><body><pre>PRIVATE-TOKEN: {said}</pre></body></html>",
    )


@pytest.fixture
def proxies(lab):
    with ExitStack() as stack:
        source, target = (stack.enter_context(FaultProxy(url)) for url in (lab.url, lab.server.endpoint))
        lab.write_settings((lab.url, source.url), (lab.server.endpoint, target.url))
        yield {"source": source, "target": target}


def check_silent(lab, done, secrets):
    kept = [path.read_text(errors="replace") for path in (lab.repo / ".migrator").rglob("*") if path.is_file()]
    for secret in secrets:
        for half in (secret, secret[: len(secret) // 2 + 2]):
            assert half not in done.out + done.err
            assert not [text for text in kept if half in text]


@pytest.mark.parametrize("side", ["source", "target"])
def test_what_a_proxy_echoes_is_neither_told_nor_kept(lab, proxies, side):
    proxy, secrets = proxies[side], SENT[side]

    pages = itertools.cycle(zip((400, 403, 500), build_pages(secrets), ([], ["--json"], []), strict=True))

    def suffer(*command):
        """Run a command that meets one of the pages at every request."""
        status, body, flags = next(pages)
        proxy.inject(Fault(Effect.ANSWER, status=status, body=body.encode(), times=10_000))
        done = lab.run("-vvv", *flags, *command, **KEYS)
        proxy.clear()
        assert done.code in {3, 5, 6}, done.err
        check_silent(lab, done, secrets)

    for _ in range(3):
        suffer("plan")
    assert lab.run("plan", **KEYS).code == 0
    suffer("migrate", "--yes")
    assert lab.run("migrate", "--yes", "--until", "checked", **KEYS).code == 0
    suffer("migrate", "--yes")
    check_silent(lab, lab.run("status"), secrets)
    assert lab.run("migrate", "--yes", **KEYS).code == 0
    suffer("verify")
    suffer("rollback", "--yes")
    assert lab.run("rollback", "--yes", **KEYS).code == 0
    assert any("stopped" in path.read_text() for path in (lab.repo / ".migrator").rglob("journal.jsonl"))
