"""The probe tells stores that keep their promises from those that do not, and leaves nothing behind."""

from datetime import UTC, datetime

import msgspec
import pytest

from migrator.backends.s3 import S3Target
from migrator.backends.s3_probe import ConditionalDelete, TargetProbe, Verdict, probe_target
from migrator.errors import BackendError, BackendUnreachableError
from tests.backends.conftest import REFUSES_OVER_DELETE_MARKERS, S3Place, build_target
from tests.support.fault_proxy import Effect, Fault, FaultProxy
from tests.support.unconditional_s3 import Flaw, FlawedS3

CONDITIONAL_DELETE = {
    "moto": ConditionalDelete.OBEYED,
    "minio": ConditionalDelete.IGNORED,
    "rustfs": ConditionalDelete.OBEYED,
    "versitygw": ConditionalDelete.OBEYED,
}


def probe(target: S3Target, prefix: str = "acme") -> TargetProbe:
    return probe_target(target, prefix=prefix, new_id=lambda: "x7", clock=lambda: datetime(2026, 1, 2, tzinfo=UTC))


def test_real_servers_are_safe_and_are_left_as_they_were(place: S3Place) -> None:
    found = probe(place.target)
    assert found == TargetProbe(
        endpoint=place.server.endpoint,
        bucket=place.bucket,
        probed_at="2026-01-02T00:00:00+00:00",
        verdict=Verdict.SAFE,
        reasons=(),
        conditional_delete=CONDITIONAL_DELETE[place.server.name],
        versioning="off",
        race_winners=(1, 1, 1),
    )
    assert place.keys() == []


def test_a_versioned_bucket_is_safe_and_said_to_be_versioned(place: S3Place) -> None:
    place.server.client().put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    found = probe(place.target)
    assert found.versioning == "enabled"
    if place.server.name in REFUSES_OVER_DELETE_MARKERS:
        assert found.verdict is Verdict.UNSAFE
        assert "a lock works once" in found.reasons[0]
    else:
        assert found.verdict is Verdict.SAFE
    assert place.keys() == []


@pytest.mark.parametrize("prefix", ["", "/", "a/b/"])
def test_only_scratch_keys_below_the_prefix_are_touched(moto_place: S3Place, prefix: str) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        probe(build_target(proxy.url, moto_place.bucket), prefix)
        stem = f"/{moto_place.bucket}/" + (prefix.strip("/") + "/" if prefix.strip("/") else "") + ".migrator-probe-x7-"
        touched = {path for method, path in proxy.seen if method in {"PUT", "DELETE"}}
    assert touched
    assert all(path.startswith(stem) for path in touched)


def test_the_probe_can_be_written_into_a_plan(moto_place: S3Place) -> None:
    found = probe(moto_place.target)
    assert msgspec.json.decode(msgspec.json.encode(found), type=TargetProbe) == found


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        (Flaw.IGNORES_CONDITIONS, "on a taken key is granted"),
        (Flaw.CHECKS_THEN_ACTS, "of 8 writers that raced"),
        (Flaw.REFUSES_AFTER_DELETE, "a lock works once"),
        (Flaw.NO_CONDITIONS, "does not implement conditional writes"),
    ],
)
def test_a_store_that_breaks_a_promise_is_unsafe(flaw: Flaw, reason: str) -> None:
    with FlawedS3(flaw) as store:
        found = probe(build_target(store.url, "bucket"))
        assert found.verdict is Verdict.UNSAFE
        assert any(reason in said for said in found.reasons), found.reasons
        assert store.objects == {}


def test_the_control_store_is_safe() -> None:
    with FlawedS3(Flaw.NONE) as store:
        assert probe(build_target(store.url, "bucket")).verdict is Verdict.SAFE


def test_refusing_right_etags_on_delete_is_noted_and_is_not_unsafe() -> None:
    with FlawedS3(Flaw.REFUSES_IF_MATCH) as store:
        found = probe(build_target(store.url, "bucket"))
        assert (found.verdict, found.conditional_delete) == (Verdict.SAFE, ConditionalDelete.REFUSED)
        assert store.objects == {}


def test_a_missing_bucket_is_an_error_not_a_verdict(moto_place: S3Place) -> None:
    with pytest.raises(BackendError, match="bucket does not exist"):
        probe(build_target(moto_place.server.endpoint, "no-such-bucket-here"))


def test_scratch_keys_are_removed_although_deleting_fails_at_first(moto_place: S3Place) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(Fault(Effect.DROP, method="DELETE", path="-race-", times=2))
        assert probe(build_target(proxy.url, moto_place.bucket)).verdict is Verdict.SAFE
        assert proxy.count("DELETE", "-race-") == 5
    assert moto_place.keys() == []


def test_scratch_keys_are_removed_when_the_probe_breaks_off(moto_place: S3Place) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(Fault(Effect.DROP, method="GET", times=3))
        with pytest.raises(BackendUnreachableError):
            probe(build_target(proxy.url, moto_place.bucket))
    assert moto_place.keys() == []
