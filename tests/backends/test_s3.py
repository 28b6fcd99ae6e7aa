"""What ``S3Target`` promises on every server, and what it makes of lost replies and bad answers."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from migrator.backends.base import Presence, Released, Removed
from migrator.errors import (
    BackendError,
    BackendUnreachableError,
    ConfigurationError,
    CredentialsRefusedError,
    ForeignLockError,
    ForeignObjectError,
    UnknownOutcomeError,
    UnsafeTargetError,
)
from tests.backends.conftest import REFUSES_OVER_DELETE_MARKERS, S3Place, build_target, document, lock_info, s3_error
from tests.support.fault_proxy import Effect, Fault, FaultProxy
from tests.support.s3_servers import free_port
from tests.support.unconditional_s3 import Flaw, FlawedS3

KEY = "acme/infra/attic dev+ü/terraform.tfstate"
DATA = document(7)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_an_absent_object_is_absent(place: S3Place) -> None:
    assert place.target.read_state(KEY).presence is Presence.ABSENT


def test_a_created_object_is_served_byte_for_byte_with_its_token(place: S3Place) -> None:
    token = place.target.create_state(KEY, DATA)
    head = place.target.read_state(KEY)
    assert (head.presence, head.data, head.token) == (Presence.PRESENT, DATA, token)
    assert token.etag.startswith('"')
    stored = place.server.client().head_object(Bucket=place.bucket, Key=KEY)
    assert stored["ContentType"] == "application/json"


def test_creating_the_same_bytes_again_is_success_with_the_same_token(place: S3Place) -> None:
    assert place.target.create_state(KEY, DATA) == place.target.create_state(KEY, DATA)


def test_creating_over_other_bytes_is_refused_and_changes_nothing(place: S3Place) -> None:
    place.put(KEY, b"theirs")
    with pytest.raises(ForeignObjectError) as refusal:
        place.target.create_state(KEY, DATA)
    assert KEY in refusal.value.message
    assert place.get(KEY) == b"theirs"


def test_an_object_of_zero_bytes_is_empty_and_is_not_overwritten(place: S3Place) -> None:
    place.put(KEY, b"")
    assert place.target.read_state(KEY).presence is Presence.EMPTY
    with pytest.raises(ForeignObjectError, match="no bytes at all"):
        place.target.create_state(KEY, DATA)
    assert place.get(KEY) == b""


def test_removing_takes_exactly_the_object_with_the_digest(place: S3Place) -> None:
    place.target.create_state(KEY, DATA)
    with pytest.raises(ForeignObjectError):
        place.target.remove_state(KEY, sha256=digest(b"other"))
    assert place.get(KEY) == DATA
    assert place.target.remove_state(KEY, sha256=digest(DATA)) is Removed.REMOVED
    assert place.target.remove_state(KEY, sha256=digest(DATA)) is Removed.ABSENT
    assert place.keys() == []


def test_an_object_can_be_created_again_after_it_was_removed(place: S3Place) -> None:
    for serial in (1, 2):
        data = document(serial)
        place.target.create_state(KEY, data)
        assert place.target.remove_state(KEY, sha256=digest(data)) is Removed.REMOVED


def test_a_versioned_bucket_keeps_the_versions_and_the_promises(place: S3Place) -> None:
    client = place.server.client()
    client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    token = place.target.create_state(KEY, DATA)
    assert token.version_id
    assert place.target.remove_state(KEY, sha256=digest(DATA)) is Removed.REMOVED
    assert place.target.read_state(KEY).presence is Presence.ABSENT
    if place.server.name in REFUSES_OVER_DELETE_MARKERS:
        with pytest.raises(UnsafeTargetError, match="refuses a condition that holds"):
            place.target.create_state(KEY, DATA)
        return
    assert place.target.create_state(KEY, DATA).version_id not in {None, token.version_id}
    versions = client.list_object_versions(Bucket=place.bucket)
    assert len(versions["Versions"]) == 2
    assert len(versions["DeleteMarkers"]) == 1


def test_a_document_of_fifty_megabytes_survives(place: S3Place) -> None:
    data = document(1, padding="x" * 50_000_000)
    place.target.create_state(KEY, data)
    assert place.target.read_state(KEY).data == data


def test_many_threads_share_one_target(place: S3Place) -> None:
    def move(number: int) -> bool:
        key, data = f"many/{number}", document(number)
        place.target.create_state(key, data)
        return place.target.read_state(key).data == data

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(move, range(64)))


def test_the_lock_object_is_what_opentofu_writes(place: S3Place) -> None:
    place.target.acquire_lock(KEY, lock_info("lock-1"))
    assert place.keys() == [f"{KEY}.tflock"]
    assert list(json.loads(place.get(f"{KEY}.tflock")).items()) == [
        ("ID", "lock-1"),
        ("Operation", "migrator-migrate"),
        ("Info", ""),
        ("Who", "me@here"),
        ("Version", "1.12.6"),
        ("Created", "2026-01-02T03:04:05.678Z"),
        ("Path", f"{place.bucket}/{KEY}"),
    ]


def test_a_lock_that_keeps_everybody_out_passes_its_check(place: S3Place) -> None:
    place.target.acquire_lock(KEY, lock_info("lock-1"))
    stood = place.get(f"{KEY}.tflock")
    for lock_id in ("lock-1", "lock-2"):
        place.target.check_lock(KEY, lock_id)
    place.target.check_lock("another", "lock-1")
    assert (place.keys(), place.get(f"{KEY}.tflock")) == ([f"{KEY}.tflock"], stood)


def test_a_lock_that_keeps_nobody_out_is_found_and_stays_whose_it_is(moto_place: S3Place) -> None:
    moto_place.target.acquire_lock(KEY, lock_info("lock-1"))
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(Fault(Effect.PASS, method="PUT", strip=("If-None-Match",), times=None))
        target = build_target(proxy.url, moto_place.bucket)
        with pytest.raises(UnsafeTargetError, match="no lock in it protects anything"):
            target.check_lock(KEY, "lock-1")
        target.check_lock(KEY, "lock-2")
    holder = moto_place.target.read_lock(KEY, "lock-1")
    assert holder is not None
    assert holder.id == "lock-1"


@pytest.mark.parametrize("body", [b"", b"not a lock", b"[]", b'{"ID":7}'])
def test_a_lock_object_that_nobody_can_read_is_a_foreign_lock(moto_place: S3Place, body: bytes) -> None:
    moto_place.put(f"{KEY}.tflock", body)
    seen = moto_place.target.read_lock(KEY, "lock-1")
    assert seen is not None
    assert seen.id == ""
    with pytest.raises(ForeignLockError, match="unreadable"):
        moto_place.target.acquire_lock(KEY, lock_info("lock-1"))
    assert moto_place.target.release_lock(KEY, "lock-1") is Released.HELD_BY_OTHER
    assert moto_place.get(f"{KEY}.tflock") == body


LOST = [Fault(Effect.COMMIT_THEN_DROP), Fault(Effect.COMMIT_THEN_ANSWER, status=503), Fault(Effect.TWICE)]


@pytest.mark.parametrize("fault", LOST, ids=["dropped", "503", "repeated by a proxy"])
def test_a_write_whose_reply_is_lost_is_settled_by_reading_back(moto_place: S3Place, fault: Fault) -> None:
    """``TWICE`` is the 412 that our own first attempt causes."""
    with FaultProxy(moto_place.server.endpoint) as proxy:
        target = build_target(proxy.url, moto_place.bucket)
        proxy.inject(Fault(fault.effect, method="PUT", status=fault.status))
        token = target.create_state(KEY, DATA)
        proxy.inject(Fault(fault.effect, method="PUT", status=fault.status))
        assert target.acquire_lock(KEY, lock_info("lock-1")).id == "lock-1"
        assert proxy.count("PUT") == 2
    assert moto_place.target.read_state(KEY).token == token
    assert moto_place.get(KEY) == DATA


def test_a_write_that_cannot_be_read_back_is_in_doubt(moto_place: S3Place) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        target = build_target(proxy.url, moto_place.bucket)
        for call in (lambda: target.create_state(KEY, DATA), lambda: target.acquire_lock(KEY, lock_info("lock-1"))):
            proxy.inject(Fault(Effect.COMMIT_THEN_DROP, method="PUT"), Fault(Effect.DROP, method="GET", times=3))
            with pytest.raises(UnknownOutcomeError) as failure:
                call()
            assert "could not be read back" in (failure.value.now or "")
    assert moto_place.target.acquire_lock(KEY, lock_info("lock-1")).id == "lock-1"


def test_keys_that_are_revoked_after_a_lost_reply_settle_nothing(moto_place: S3Place) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        target = build_target(proxy.url, moto_place.bucket)
        for call in (lambda: target.create_state(KEY, DATA), lambda: target.acquire_lock(KEY, lock_info("lock-1"))):
            proxy.inject(Fault(Effect.COMMIT_THEN_DROP, method="PUT"))
            proxy.inject(replace(s3_error("AccessDenied", 403), method="GET", times=1))
            with pytest.raises(UnknownOutcomeError, match="access denied"):
                call()
    assert moto_place.get(KEY) == DATA
    assert moto_place.target.acquire_lock(KEY, lock_info("lock-1")).id == "lock-1"


def test_a_delete_whose_reply_is_lost_is_settled_by_reading_back(moto_place: S3Place) -> None:
    moto_place.target.create_state(KEY, DATA)
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(Fault(Effect.COMMIT_THEN_DROP, method="DELETE"))
        assert build_target(proxy.url, moto_place.bucket).remove_state(KEY, sha256=digest(DATA)) is Removed.REMOVED


def test_an_unlock_whose_reply_is_lost_is_known_to_be_our_own(moto_place: S3Place) -> None:
    moto_place.target.acquire_lock(KEY, lock_info("lock-1"))
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(Fault(Effect.COMMIT_THEN_DROP, method="DELETE"))
        assert build_target(proxy.url, moto_place.bucket).release_lock(KEY, "lock-1") is Released.RELEASED
    assert moto_place.keys() == []


PAGE = b"<!DOCTYPE html><html><body>Console</body></html>"


def test_a_page_of_a_proxy_confirms_nothing(moto_place: S3Place) -> None:
    """Each request meets a page with 200 first; none is taken for the store's word."""
    with FaultProxy(moto_place.server.endpoint) as proxy:
        target = build_target(proxy.url, moto_place.bucket)
        page = {"status": 200, "headers": {"Content-Type": "text/html"}, "body": PAGE}
        proxy.inject(*(Fault(Effect.ANSWER, method=method, **page) for method in ("PUT", "GET", "DELETE")))
        target.acquire_lock(KEY, lock_info("lock-1"))
        assert target.release_lock(KEY, "lock-1") is Released.RELEASED
        assert (proxy.count("PUT"), proxy.count("DELETE")) == (2, 2)
    assert moto_place.keys() == []


def test_what_a_cache_hides_is_not_deleted(moto_place: S3Place) -> None:
    """A read that is answered as before, and a store that refuses its old ETag: what stands there was written meanwhile."""
    with FaultProxy(moto_place.server.endpoint) as proxy:
        target = build_target(proxy.url, moto_place.bucket)
        target.create_state(KEY, DATA)
        target.read_state(KEY)
        replace(moto_place.server, endpoint=proxy.url).client().put_object(
            Bucket=moto_place.bucket, Key=KEY, Body=document(9)
        )
        proxy.inject(Fault(Effect.STALE, times=None))
        with pytest.raises(UnsafeTargetError, match="lists another object than it serves"):
            target.remove_state(KEY, sha256=hashlib.sha256(DATA).hexdigest())
    assert moto_place.get(KEY) == document(9)


def test_a_bit_that_flips_on_the_way_is_noticed_and_asked_for_again(moto_place: S3Place) -> None:
    moto_place.target.create_state(KEY, DATA)
    with FaultProxy(moto_place.server.endpoint) as proxy:
        target = build_target(proxy.url, moto_place.bucket)
        proxy.inject(Fault(Effect.FLIP, method="GET"))
        assert target.read_state(KEY).data == DATA
        proxy.inject(Fault(Effect.FLIP, method="GET", times=None))
        with pytest.raises(BackendUnreachableError, match="checksum"):
            target.read_state(KEY)


@pytest.mark.parametrize("effect", [Effect.DROP, Effect.ANSWER])
def test_a_write_that_did_not_arrive_is_sent_again(moto_place: S3Place, effect: Effect) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        target = build_target(proxy.url, moto_place.bucket)
        proxy.inject(Fault(effect, method="PUT", times=2))
        target.create_state(KEY, DATA)
        assert proxy.count("PUT") == 3


def test_a_write_that_never_arrives_ends_in_doubt_and_says_so(moto_place: S3Place) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(Fault(Effect.DROP, method="PUT", times=9))
        with pytest.raises(UnknownOutcomeError) as failure:
            build_target(proxy.url, moto_place.bucket).create_state(KEY, DATA)
        assert proxy.count("PUT") == 3
    assert "absent now" in (failure.value.now or "")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Effect.DROP, method="GET", times=2),
        Fault(Effect.ANSWER, method="GET", status=503, times=2),
        Fault(Effect.TRUNCATE, method="GET", times=2),
    ],
    ids=["dropped", "503", "truncated"],
)
def test_a_read_is_repeated_until_it_is_whole(moto_place: S3Place, fault: Fault) -> None:
    moto_place.target.create_state(KEY, DATA)
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(fault)
        assert build_target(proxy.url, moto_place.bucket).read_state(KEY).data == DATA
        assert proxy.count("GET") == 3


def test_a_read_that_stays_broken_is_an_error_never_half_a_document(moto_place: S3Place) -> None:
    moto_place.target.create_state(KEY, DATA)
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(Fault(Effect.TRUNCATE, method="GET", times=9))
        with pytest.raises(BackendUnreachableError):
            build_target(proxy.url, moto_place.bucket).read_state(KEY)


PAGE = {"Content-Type": "text/html"}


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>Sign in", b"<html><head/><body/></html>", b""])
def test_a_page_of_a_proxy_is_neither_an_object_nor_its_absence(moto_place: S3Place, status: int, page: bytes) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        target = build_target(proxy.url, moto_place.bucket)
        proxy.inject(Fault(Effect.ANSWER, status=status, headers=PAGE, body=page, times=99))
        with pytest.raises(BackendError, match="not one of an S3 store"):
            target.read_state(KEY)
        with pytest.raises(BackendError):
            target.create_state(KEY, DATA)
        with pytest.raises(BackendError):
            target.acquire_lock(KEY, lock_info("lock-1"))


@pytest.mark.parametrize(
    ("code", "status", "kind", "said", "hint"),
    [
        ("NoSuchBucket", 404, BackendError, "bucket does not exist", "target.bucket"),
        ("AccessDenied", 403, CredentialsRefusedError, "access denied", "s3:PutObject"),
        ("InvalidAccessKeyId", 403, CredentialsRefusedError, "access key", "access_key_env"),
        ("SignatureDoesNotMatch", 403, CredentialsRefusedError, "signature", "secret key"),
        ("RequestTimeTooSkewed", 403, CredentialsRefusedError, "clock", "timedatectl"),
        ("ExpiredToken", 400, CredentialsRefusedError, "expired", "export"),
        ("PermanentRedirect", 301, BackendError, "another region", "target.region"),
        ("AuthorizationHeaderMalformed", 400, BackendError, "another region", "target.region"),
        ("SlowDown", 503, BackendUnreachableError, "slow down", "wait"),
        ("InternalError", 500, BackendUnreachableError, "said by it", "again"),
        ("NotImplemented", 501, BackendError, "does not implement", "probe"),
        ("InvalidArgument", 400, BackendError, "said by it", "probe"),
    ],
)
def test_refusals_say_cause_place_and_what_to_check(
    moto_place: S3Place, *, code: str, status: int, kind: type[BackendError], said: str, hint: str
) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(s3_error(code, status))
        with pytest.raises(kind) as failure:
            build_target(proxy.url, moto_place.bucket).read_state("k")
        assert failure.value.where == f"GET s3://{moto_place.bucket}/k at {proxy.url}"
    assert said in failure.value.message
    assert hint in (failure.value.hint or "")


def test_wrong_credentials_are_refused_by_the_server_itself(place: S3Place) -> None:
    if place.server.name == "moto":  # it believes everybody
        assert place.target.read_state("k").presence is Presence.ABSENT
        return
    for changes in ({"access_key": "nobody-here"}, {"secret_key": "not-the-secret"}):
        target = build_target(place.server.endpoint, place.bucket, **changes)
        with pytest.raises(CredentialsRefusedError) as failure:
            target.create_state("k", DATA)
        assert "not-the-secret" not in f"{failure.value} {failure.value.hint} {failure.value.where}"
    assert place.keys() == []


def test_a_missing_bucket_is_named(place: S3Place) -> None:
    target = build_target(place.server.endpoint, "no-such-bucket-here")
    for call in (lambda: target.read_state("k"), lambda: target.create_state("k", DATA)):
        with pytest.raises(BackendError, match="bucket does not exist") as failure:
            call()
        assert "no-such-bucket-here" in (failure.value.where or "")


def test_a_refused_connection_names_the_endpoint() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(BackendUnreachableError, match="no connection to") as failure:
        build_target(endpoint, "b").read_state("k")
    assert endpoint in (failure.value.where or "")


def test_a_server_without_tls_is_told_from_a_dead_one(moto_place: S3Place) -> None:
    endpoint = moto_place.server.endpoint.replace("http:", "https:")
    with pytest.raises(BackendUnreachableError, match="no TLS connection"):
        build_target(endpoint, moto_place.bucket).read_state("k")


def test_over_tls_a_private_authority_is_trusted_once_it_is_named(place: S3Place, certificate: Path) -> None:
    with FaultProxy(place.server.endpoint, certificate=certificate) as proxy:
        with pytest.raises(BackendUnreachableError, match="no TLS connection") as failure:
            build_target(proxy.url, place.bucket).create_state(KEY, DATA)
        assert "target.ca_bundle" in (failure.value.hint or "")
        target = build_target(proxy.url, place.bucket, ca_bundle=str(certificate))
        token = target.create_state(KEY, DATA)
        assert target.read_state(KEY).token == token
        assert target.acquire_lock(KEY, lock_info("lock-1")).id == "lock-1"
        assert target.release_lock(KEY, "lock-1") is Released.RELEASED
        assert target.remove_state(KEY, sha256=digest(DATA)) is Removed.REMOVED


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint": "s3.example.internal:9000"},
        {"endpoint": "https://user:word@s3.example.internal"},
        {"ca_bundle": "/nowhere/ca.pem"},
        {"access_key": None, "secret_key": None, "profile": "no-such-profile"},
    ],
)
def test_settings_that_cannot_work_are_configuration_errors(changes: dict[str, str | None]) -> None:
    with pytest.raises(ConfigurationError) as failure:
        build_target("http://127.0.0.1:1", "b", **changes)
    assert "word" not in str(failure.value)


def test_a_store_without_conditional_writes_is_unsafe() -> None:
    with FlawedS3(Flaw.NO_CONDITIONS) as store:
        target = build_target(store.url, "bucket")
        with pytest.raises(UnsafeTargetError):
            target.create_state("k", DATA)
        with pytest.raises(UnsafeTargetError):
            target.acquire_lock("k", lock_info("lock-1"))
        assert store.objects == {}


def test_a_store_that_refuses_a_free_key_is_unsafe() -> None:
    with FlawedS3(Flaw.REFUSES_AFTER_DELETE) as store:
        target = build_target(store.url, "bucket")
        target.acquire_lock("k", lock_info("lock-1"))
        target.release_lock("k", "lock-1")
        with pytest.raises(UnsafeTargetError, match="refuses a condition that holds"):
            target.acquire_lock("k", lock_info("lock-2"))


def test_a_store_that_refuses_right_etags_still_lets_go() -> None:
    with FlawedS3(Flaw.REFUSES_IF_MATCH) as store:
        target = build_target(store.url, "bucket")
        target.acquire_lock("k", lock_info("lock-1"))
        target.create_state("k", DATA)
        assert target.release_lock("k", "lock-1") is Released.RELEASED
        assert target.remove_state("k", sha256=digest(DATA)) is Removed.REMOVED
        assert store.objects == {}
