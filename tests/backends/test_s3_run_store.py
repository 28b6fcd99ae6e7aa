"""What ``S3RunStore`` promises on every server, and what it makes of lost replies, rivals and bad listings."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from migrator.backends.base import Created, Removed
from migrator.backends.s3_run_store import S3RunStore
from migrator.errors import (
    BackendError,
    BackendUnreachableError,
    ForeignObjectError,
    UnknownOutcomeError,
    UnsafeTargetError,
)
from tests.backends.conftest import S3Place, build_target, s3_error
from tests.support.fault_proxy import Effect, Fault, FaultProxy
from tests.support.unconditional_s3 import Flaw, FlawedS3

NAME = "runs/20260102T030405Z-1a2b/journal/000001 +ü%.json"
DATA = b'{"record":1}\n'


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def build_store(endpoint: str, bucket: str, prefix: str = ".migrator") -> S3RunStore:
    return S3RunStore(build_target(endpoint, bucket).bucket, prefix)


def store_at(place: S3Place, prefix: str = ".migrator") -> S3RunStore:
    return S3RunStore(place.target.bucket, prefix)


def test_what_is_created_is_listed_and_read_byte_for_byte(place: S3Place) -> None:
    store = store_at(place)
    assert store.read(NAME) is None
    assert store.list_names() == []
    assert store.create(NAME, DATA) is Created.CREATED
    assert store.create("runs/empty", b"") is Created.CREATED
    assert store.read(NAME) == DATA
    assert store.read("runs/empty") == b""
    assert store.list_names() == [NAME, "runs/empty"]
    assert place.get(f".migrator/{NAME}") == DATA
    assert store.where(NAME) == f"s3://{place.bucket}/.migrator/{NAME}"


def test_nothing_is_ever_overwritten(place: S3Place) -> None:
    store = store_at(place)
    store.create(NAME, DATA)
    assert store.create(NAME, DATA) is Created.EXISTS_SAME
    assert store.create(NAME, b"other") is Created.EXISTS_OTHER
    assert store.create(NAME, b"") is Created.EXISTS_OTHER
    assert store.read(NAME) == DATA


def test_of_many_that_create_one_name_at_once_one_wins(place: S3Place) -> None:
    store = store_at(place)
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda number: store.create("claim", b"%d" % number), range(8)))
    assert sorted(outcomes) == [Created.CREATED, *[Created.EXISTS_OTHER] * 7]
    assert store.read("claim") == b"%d" % outcomes.index(Created.CREATED)


def test_removing_takes_only_the_expected_bytes(place: S3Place) -> None:
    store = store_at(place)
    store.create(NAME, DATA)
    with pytest.raises(ForeignObjectError) as refusal:
        store.remove(NAME, sha256=digest(b"other"))
    assert "target.run_prefix" in (refusal.value.hint or "")
    assert store.read(NAME) == DATA
    assert store.remove(NAME, sha256=digest(DATA)) is Removed.REMOVED
    assert store.remove(NAME, sha256=digest(DATA)) is Removed.ABSENT
    assert place.keys() == []


@pytest.mark.parametrize(("prefix", "stem"), [("", ""), ("/", ""), ("a/b/", "a/b/"), ("a", "a/")])
def test_a_store_sees_only_what_lies_below_its_prefix(moto_place: S3Place, prefix: str, stem: str) -> None:
    store = store_at(moto_place, prefix)
    store.create("runs/1/plan.json", DATA)
    store.create("runs/10/plan.json", DATA)
    moto_place.put("ab/runs/1/theirs", DATA)
    moto_place.put(f"{stem}runs/", b"")  # what a console makes to show a directory
    assert moto_place.get(f"{stem}runs/1/plan.json") == DATA
    assert store.list_names("runs/1/") == ["runs/1/plan.json"]
    assert store.list_names("runs/") == ["runs/1/plan.json", "runs/10/plan.json"]
    assert store.list_names("none") == []


def test_a_listing_is_followed_over_its_pages(place: S3Place) -> None:
    names = [f"run/{number:02}" for number in range(7)]
    for name in reversed(names):
        place.put(name, b"x")
    place.put("run-other", b"x")
    for page_size in (1, 3, 7):
        assert place.target.bucket.list_keys("run/", page_size=page_size) == names


def test_more_objects_than_one_answer_holds_are_all_listed(moto_place: S3Place) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: moto_place.put(f".migrator/{number:04}", b""), range(1003)))
    assert store_at(moto_place).list_names() == [f"{number:04}" for number in range(1003)]


LOST = [Fault(Effect.COMMIT_THEN_DROP), Fault(Effect.COMMIT_THEN_ANSWER, status=503), Fault(Effect.TWICE)]


@pytest.mark.parametrize("fault", LOST, ids=["dropped", "503", "repeated by a proxy"])
def test_a_create_whose_reply_is_lost_is_settled_by_reading_back(moto_place: S3Place, fault: Fault) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        store = build_store(proxy.url, moto_place.bucket)
        proxy.inject(Fault(fault.effect, method="PUT", status=fault.status))
        assert store.create(NAME, DATA) is Created.EXISTS_SAME
        assert proxy.count("PUT") == 1
    assert store_at(moto_place).read(NAME) == DATA


@pytest.mark.parametrize("effect", [Effect.DROP, Effect.ANSWER])
def test_a_create_that_did_not_arrive_is_sent_again_and_not_for_ever(moto_place: S3Place, effect: Effect) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        store = build_store(proxy.url, moto_place.bucket)
        proxy.inject(Fault(effect, method="PUT", times=2))
        assert store.create(NAME, DATA) is Created.CREATED
        assert proxy.count("PUT") == 3
        proxy.inject(Fault(effect, method="PUT", times=9))
        with pytest.raises(UnknownOutcomeError) as failure:
            store.create("runs/other", DATA)
        assert proxy.count("PUT") == 6
    assert "absent now" in (failure.value.now or "")


def test_a_create_that_cannot_be_read_back_is_in_doubt(moto_place: S3Place) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        store = build_store(proxy.url, moto_place.bucket)
        proxy.inject(Fault(Effect.COMMIT_THEN_DROP, method="PUT"), Fault(Effect.DROP, method="GET", times=3))
        with pytest.raises(UnknownOutcomeError):
            store.create(NAME, DATA)
        assert store.create(NAME, DATA) is Created.EXISTS_SAME


def test_a_removal_whose_reply_is_lost_is_settled_by_reading_back(moto_place: S3Place) -> None:
    store_at(moto_place).create(NAME, DATA)
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(Fault(Effect.COMMIT_THEN_DROP, method="DELETE"))
        assert build_store(proxy.url, moto_place.bucket).remove(NAME, sha256=digest(DATA)) is Removed.REMOVED


@pytest.mark.parametrize("effect", [Effect.DROP, Effect.ANSWER, Effect.TRUNCATE])
def test_a_listing_is_repeated_until_it_is_whole(moto_place: S3Place, effect: Effect) -> None:
    store_at(moto_place).create(NAME, DATA)
    with FaultProxy(moto_place.server.endpoint) as proxy:
        store = build_store(proxy.url, moto_place.bucket)
        proxy.inject(Fault(effect, method="GET", times=2))
        assert store.list_names() == [NAME]
        assert proxy.count("GET") == 3
        proxy.inject(Fault(effect, method="GET", times=9))
        with pytest.raises(BackendUnreachableError):
            store.list_names()


def listing(body: str) -> Fault:
    page = f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{body}</ListBucketResult>'
    return Fault(Effect.ANSWER, status=200, headers={"Content-Type": "application/xml"}, body=page.encode(), times=9)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Effect.ANSWER, status=200, body=b"<html><body>Sign in</body></html>", times=9),
        Fault(Effect.ANSWER, status=200, body=b"<!DOCTYPE html><p>Sign in", times=9),
        Fault(Effect.ANSWER, status=200, times=9),
        Fault(Effect.ANSWER, status=404, body=b"<html/>", times=9),
        listing("<IsTruncated>true</IsTruncated>"),
        listing("<IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken>"),
        listing("<IsTruncated>false</IsTruncated><Contents><Key>elsewhere</Key></Contents>"),
    ],
    ids=["page", "no XML", "nothing", "404 page", "no way on", "in a circle", "another prefix"],
)
def test_what_is_not_a_whole_listing_is_an_error_never_an_empty_store(moto_place: S3Place, fault: Fault) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(fault)
        with pytest.raises(BackendError) as failure:
            build_store(proxy.url, moto_place.bucket).list_names("runs/")
        assert failure.value.where == f"GET s3://{moto_place.bucket}/.migrator/runs/* at {proxy.url}"


def test_a_refused_listing_says_what_is_missing(moto_place: S3Place) -> None:
    with FaultProxy(moto_place.server.endpoint) as proxy:
        proxy.inject(s3_error("AccessDenied", 403))
        with pytest.raises(BackendError, match="access denied") as failure:
            build_store(proxy.url, moto_place.bucket).list_names()
    assert "s3:ListBucket" in (failure.value.hint or "")


def test_a_store_without_conditional_writes_is_unsafe() -> None:
    with FlawedS3(Flaw.NO_CONDITIONS) as server:
        with pytest.raises(UnsafeTargetError):
            build_store(server.url, "bucket").create("k", DATA)
        assert server.objects == {}


def test_a_store_that_refuses_a_free_name_is_unsafe() -> None:
    with FlawedS3(Flaw.REFUSES_AFTER_DELETE) as server:
        store = build_store(server.url, "bucket")
        store.create("k", DATA)
        store.remove("k", sha256=digest(DATA))
        with pytest.raises(UnsafeTargetError, match="refuses a condition that holds"):
            store.create("k", DATA)


def test_a_versioned_bucket_keeps_the_versions_of_what_is_removed(moto_place: S3Place) -> None:
    client = moto_place.server.client()
    client.put_bucket_versioning(Bucket=moto_place.bucket, VersioningConfiguration={"Status": "Enabled"})
    store = store_at(moto_place)
    for _ in range(2):
        assert store.create(NAME, DATA) is Created.CREATED
        assert store.remove(NAME, sha256=digest(DATA)) is Removed.REMOVED
    assert store.list_names() == []
    assert len(client.list_object_versions(Bucket=moto_place.bucket)["Versions"]) == 2
