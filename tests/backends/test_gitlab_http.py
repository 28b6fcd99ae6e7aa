"""``GitLabSource`` against the stand-in: what it lists, reads, writes, and what it makes of GitLab's odd answers."""

import re
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from migrator.backends.base import ListedState, Presence, Released
from migrator.backends.gitlab_http import GitLabSource, Project
from migrator.errors import (
    BackendError,
    BackendUnreachableError,
    ConfigurationError,
    CredentialsRefusedError,
    ForeignLockError,
    ForeignObjectError,
    InternalError,
    MigratorError,
    UnknownOutcomeError,
)
from migrator.standin import Fault as StandinFault
from migrator.standin import Standin, parse_configuration
from tests.backends.conftest import GITLAB, GitLabPlace, build_source, document, lock_info, quick_policy
from tests.support.fault_proxy import Effect, Fault, FaultProxy
from tests.support.s3_servers import free_port

STATE = "/api/v4/projects/84/terraform/state/attic-dev"


def hold(gitlab: GitLabPlace, name: str = "attic-dev", lock_id: str = "lock-1") -> None:
    gitlab.source.acquire_lock(name, lock_info(lock_id))


def versions(gitlab: GitLabPlace, name: str = "attic-dev") -> dict[int, bytes | None]:
    truth = gitlab.standin.truth_of(84, name)
    assert truth is not None
    return truth.versions


def lock_holder(gitlab: GitLabPlace, name: str = "attic-dev") -> str | None:
    truth = gitlab.standin.truth_of(84, name)
    assert truth is not None
    return truth.lock.id if truth.lock else None


class TestProject:
    @pytest.mark.parametrize("setting", [84, "acme/infra", "acme/former"])
    def test_is_resolved_to_its_id_and_present_path(self, gitlab: GitLabPlace, setting: int | str) -> None:
        assert gitlab.connect(project=setting).resolve_project() == Project(id=84, path="acme/infra")

    def test_named_by_its_former_path_can_be_written_because_the_id_is_pinned(self, gitlab: GitLabPlace) -> None:
        source = gitlab.connect(project="acme/former")
        assert source.acquire_lock("attic-dev", lock_info("lock-1")).id == "lock-1"
        assert all("/projects/84/" in seen.path for seen in gitlab.standin.exchanges() if "/lock" in seen.path)

    @pytest.mark.parametrize(("project", "token"), [("acme/other", "t-maint"), (84, "t-stranger")])
    def test_that_nobody_sees_is_named_as_such(self, gitlab: GitLabPlace, project: int | str, token: str) -> None:
        with pytest.raises(CredentialsRefusedError, match="does not exist, or the token cannot see it"):
            gitlab.connect(project=project, token=token).list_states()


class TestList:
    def test_has_every_state_sorted_with_deleted_and_empty_ones(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        by_name = {state.name: state for state in gitlab.source.list_states()}
        assert list(by_name) == ["a.b c/d", "attic-dev", "gone", "phantom"]
        assert by_name["a.b c/d"] == ListedState(name="a.b c/d", serial=5, locked=False)
        assert by_name["gone"].deleted
        assert by_name["phantom"].serial is None
        held = by_name["attic-dev"]
        assert (held.serial, held.locked, held.locked_by) == (7, True, "maint")
        assert held.locked_at

    def test_goes_through_every_page(self) -> None:
        states = [{"project": 84, "name": f"s-{number:03}", "versions": []} for number in range(257)]
        with Standin(parse_configuration(GITLAB | {"format": "gitlab-standin/1", "states": states})) as standin:
            listed = build_source(standin.base_url).list_states()
        assert [state.name for state in listed] == [f"s-{number:03}" for number in range(257)]

    def test_that_is_empty_is_believed_when_reading_is_allowed(self) -> None:
        with Standin(parse_configuration(GITLAB | {"format": "gitlab-standin/1", "states": []})) as standin:
            assert build_source(standin.base_url).list_states() == ()

    def test_that_is_empty_for_want_of_permission_is_refused(self, gitlab: GitLabPlace) -> None:
        with pytest.raises(CredentialsRefusedError) as refusal:
            gitlab.connect(token="t-reporter").list_states()
        assert "Developer" in (refusal.value.hint or "")

    def test_with_a_job_token_says_which_permission_is_missing(self, gitlab: GitLabPlace) -> None:
        source = gitlab.connect(token="j-run", username="gitlab-ci-token")
        assert source.read_state("attic-dev").data == document(7)
        with pytest.raises(CredentialsRefusedError) as refusal:
            source.list_states()
        assert "read_api" in (refusal.value.hint or "")
        assert "a CI job token can read, lock and write states, but not list them" in (refusal.value.hint or "")
        assert source.acquire_lock("attic-dev", lock_info("lock-1")).who == "maint"
        assert source.release_lock("attic-dev", "lock-1") is Released.RELEASED

    @pytest.mark.parametrize("username", ["maint", "anybody"])
    def test_with_a_user_name_and_a_personal_token_comes_too(self, gitlab: GitLabPlace, username: str) -> None:
        source = gitlab.connect(username=username)
        assert [state.name for state in source.list_states()] == [one.name for one in gitlab.source.list_states()]
        assert source.acquire_lock("attic-dev", lock_info("lock-1")).who == "maint"
        assert source.release_lock("attic-dev", "lock-1") is Released.RELEASED

    def test_of_a_gitlab_with_a_former_schema_still_comes(self, gitlab: GitLabPlace) -> None:
        gitlab.standin.arm(StandinFault(mode="n", times=None))
        assert len(gitlab.source.list_states()) == 4

    def test_with_a_refused_token_says_so_and_shows_no_token(self, gitlab: GitLabPlace) -> None:
        for token in ("t-expired", "glpat-canary"):
            with pytest.raises(CredentialsRefusedError) as refusal:
                gitlab.connect(token=token).list_states()
            assert token not in f"{refusal.value} {refusal.value.where} {refusal.value.hint}"
            assert "source.token_env" in (refusal.value.hint or "")


class TestReading:
    def test_serves_exact_bytes_whatever_the_name(self, gitlab: GitLabPlace) -> None:
        for name, serial in (("attic-dev", 7), ("a.b c/d", 5)):
            head = gitlab.source.read_state(name)
            assert (head.presence, head.data, head.token) == (Presence.PRESENT, document(serial), None)

    def test_tells_unknown_from_empty(self, gitlab: GitLabPlace) -> None:
        assert gitlab.source.read_state("typo").presence is Presence.ABSENT
        assert gitlab.source.read_state("phantom").presence is Presence.EMPTY

    def test_a_missing_file_is_empty(self, gitlab: GitLabPlace) -> None:
        gitlab.standin.arm(StandinFault(mode="c"))
        assert gitlab.source.read_state("attic-dev").presence is Presence.EMPTY

    def test_a_soft_deleted_state_is_an_error(self, gitlab: GitLabPlace) -> None:
        with pytest.raises(BackendError, match="scheduled for deletion"):
            gitlab.source.read_state("gone")

    def test_versions_are_exact_and_unknown_ones_are_none(self, gitlab: GitLabPlace) -> None:
        assert gitlab.source.read_version("attic-dev", 7) == document(7)
        assert gitlab.source.read_version("attic-dev", 6) is None

    def test_versions_of_a_dotted_name_answer_where_the_newest_document_can(self, gitlab: GitLabPlace) -> None:
        assert gitlab.source.read_version("a.b c/d", 5) == document(5)
        assert gitlab.source.read_version("a.b c/d", 6) is None
        with pytest.raises(BackendError, match="name has a dot"):
            gitlab.source.read_version("a.b c/d", 3)

    def test_fifty_megabytes_come_whole(self, gitlab: GitLabPlace) -> None:
        data = document(8, padding="x" * 50_000_000)
        hold(gitlab)
        gitlab.source.write_state("attic-dev", data, serial=8, lock_id="lock-1")
        assert gitlab.source.read_state("attic-dev").data == data

    def test_many_threads_share_one_source(self, gitlab: GitLabPlace) -> None:
        with ThreadPoolExecutor(16) as pool:
            heads = list(pool.map(lambda _: gitlab.source.read_state("attic-dev"), range(200)))
        assert all(head.data == document(7) for head in heads)


class TestLocking:
    def test_an_unknown_name_creates_nothing(self, gitlab: GitLabPlace) -> None:
        with pytest.raises(BackendError, match="no state named 'typo'"):
            gitlab.source.acquire_lock("typo", lock_info("lock-1"))
        assert gitlab.source.read_lock("typo", "lock-1") is None
        assert gitlab.source.release_lock("typo", "lock-1") is Released.NOT_HELD
        assert gitlab.standin.truth_of(84, "typo") is None

    def test_a_lost_grant_is_recognised(self, gitlab: GitLabPlace) -> None:
        gitlab.standin.arm(StandinFault(mode="b"))
        assert gitlab.source.acquire_lock("attic-dev", lock_info("lock-1")).id == "lock-1"
        assert lock_holder(gitlab) == "lock-1"

    def test_a_token_that_is_revoked_after_a_lost_grant_settles_nothing(self, gitlab: GitLabPlace) -> None:
        """Refused credentials alone would mean that nothing was locked, and nobody would ever give the lock back."""
        with FaultProxy(gitlab.standin.base_url) as proxy:
            source = build_source(proxy.url)
            source.list_states()
            proxy.inject(Fault(Effect.COMMIT_THEN_DROP, path="/lock$"))
            proxy.inject(Fault(Effect.ANSWER, status=401, times=None))
            with pytest.raises(UnknownOutcomeError, match="refuses the token") as doubt:
                source.acquire_lock("attic-dev", lock_info("lock-1"))
        assert "may or may not be locked" in (doubt.value.now or "")
        assert lock_holder(gitlab) == "lock-1"

    def test_a_web_page_neither_grants_our_lock_nor_gives_it_back(self, gitlab: GitLabPlace) -> None:
        """Looking asks for the lock; were a page taken for a grant, our own lock would be "given back" at once."""
        hold(gitlab)
        page = {"status": 200, "headers": {"Content-Type": "text/html"}, "body": b"<html>Sign in</html>"}
        with FaultProxy(gitlab.standin.base_url) as proxy:
            source = build_source(proxy.url)
            source.list_states()
            proxy.inject(Fault(Effect.ANSWER, path="/lock$", **page))
            with pytest.raises(BackendError, match="web page"):
                source.read_lock("attic-dev", "lock-1")
            proxy.inject(Fault(Effect.ANSWER, path="/lock$", **page))
            with pytest.raises(BackendError, match="web page"):
                source.release_lock("attic-dev", "lock-1")
        assert lock_holder(gitlab) == "lock-1"

    def test_a_lost_release_finds_nobody_holding_it(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        with FaultProxy(gitlab.standin.base_url) as proxy:
            proxy.inject(Fault(Effect.COMMIT_THEN_DROP, method="DELETE"))
            assert build_source(proxy.url).release_lock("attic-dev", "lock-1") is Released.NOT_HELD
        assert lock_holder(gitlab) is None

    def test_a_database_conflict_is_not_taken_for_a_lock(self, gitlab: GitLabPlace) -> None:
        gitlab.standin.arm(StandinFault(mode="f", times=2))
        assert gitlab.source.acquire_lock("attic-dev", lock_info("lock-1")).id == "lock-1"
        gitlab.standin.arm(StandinFault(mode="f", times=2))
        assert gitlab.source.release_lock("attic-dev", "lock-1") is Released.RELEASED

    def test_a_database_conflict_that_stays_ends(self, gitlab: GitLabPlace) -> None:
        gitlab.standin.arm(StandinFault(mode="f", times=None))
        with pytest.raises(BackendError, match="Resource lock"):
            gitlab.source.acquire_lock("attic-dev", lock_info("lock-1"))

    def test_without_the_role_is_refused_with_the_role_that_is_needed(self, gitlab: GitLabPlace) -> None:
        with pytest.raises(CredentialsRefusedError) as refusal:
            gitlab.connect(token="t-dev").acquire_lock("attic-dev", lock_info("lock-1"))
        assert "Maintainer" in (refusal.value.hint or "")
        assert refusal.value.where == f"POST {STATE}/lock"

    def test_a_protection_rule_is_quoted(self, gitlab: GitLabPlace) -> None:
        gitlab.standin.arm(StandinFault(mode="j"))
        with pytest.raises(CredentialsRefusedError, match="403 Forbidden - "):
            gitlab.source.acquire_lock("attic-dev", lock_info("lock-1"))

    def test_a_lock_that_nobody_holds_is_given_back_whatever_the_token_may(self, gitlab: GitLabPlace) -> None:
        weak = gitlab.connect(token="t-dev")
        assert weak.release_lock("attic-dev", "lock-1") is Released.NOT_HELD
        hold(gitlab)
        with pytest.raises(CredentialsRefusedError):
            weak.release_lock("attic-dev", "lock-1")
        assert lock_holder(gitlab) == "lock-1"

    def test_an_empty_id_is_never_sent_because_it_would_force(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        with pytest.raises(InternalError):
            gitlab.source.release_lock("attic-dev", "")
        assert lock_holder(gitlab) == "lock-1"

    def test_looking_without_an_id_sends_no_lock_request(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        sent = sum(1 for seen in gitlab.standin.exchanges() if seen.path.endswith("/lock"))
        seen = gitlab.source.read_lock("attic-dev", "")
        assert seen is not None
        assert (seen.id, seen.who) == ("", "maint")
        assert sum(1 for seen in gitlab.standin.exchanges() if seen.path.endswith("/lock")) == sent

    def test_looking_at_a_lock_that_is_freed_meanwhile_gives_it_back(self, gitlab: GitLabPlace) -> None:
        """The holder lets go between GraphQL's answer and our request, which is granted then."""
        hold(gitlab, lock_id="theirs")
        with FaultProxy(gitlab.standin.base_url) as proxy:
            body = (
                b'{"data":{"project":{"terraformState":{"name":"attic-dev","lockedAt":"2026-01-02T03:04:05Z",'
                b'"lockedByUser":{"username":"maint"}}}}}'
            )
            proxy.inject(Fault(Effect.ANSWER, method="POST", path="/api/graphql", status=200, body=body))
            gitlab.source.release_lock("attic-dev", "theirs")
            proxy.inject(Fault(Effect.ANSWER, method="DELETE", path="/lock$", status=500))
            assert build_source(proxy.url).read_lock("attic-dev", "lock-1") is None
        assert lock_holder(gitlab) is None

    def test_a_gitlab_without_the_single_state_query_is_listed(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        with FaultProxy(gitlab.standin.base_url) as proxy:
            body = b"""{"errors":[{"message":"Field 'terraformState' doesn't exist on type 'Project'"}]}"""
            proxy.inject(Fault(Effect.ANSWER, method="POST", path="/api/graphql", status=200, body=body))
            seen = build_source(proxy.url).read_lock("attic-dev", "lock-2")
        assert seen is not None
        assert seen.id == "lock-1"


class TestWriting:
    def test_stores_exact_bytes_under_our_lock(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        gitlab.source.write_state("attic-dev", document(9), serial=9, lock_id="lock-1")
        assert versions(gitlab) == {7: document(7), 9: document(9)}
        assert lock_holder(gitlab) == "lock-1"

    def test_the_same_document_again_is_success_and_sends_nothing(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        for _ in range(2):
            gitlab.source.write_state("attic-dev", document(9), serial=9, lock_id="lock-1")
        assert sum(1 for seen in gitlab.standin.exchanges() if (seen.method, seen.path) == ("POST", STATE)) == 1

    @pytest.mark.parametrize("serial", [3, 7])
    def test_a_serial_that_would_not_be_served_is_refused(self, gitlab: GitLabPlace, serial: int) -> None:
        hold(gitlab)
        with pytest.raises(ForeignObjectError, match="serial 7"):
            gitlab.source.write_state("attic-dev", document(serial, other=1), serial=serial, lock_id="lock-1")
        assert versions(gitlab) == {7: document(7)}

    @pytest.mark.parametrize("variant", ["status", "drop"])
    @pytest.mark.parametrize("name", ["attic-dev", "a.b c/d"])
    def test_a_commit_with_a_lost_reply_is_found_and_not_sent_again(
        self, gitlab: GitLabPlace, name: str, variant: str
    ) -> None:
        hold(gitlab, name)
        gitlab.standin.arm(StandinFault(mode="a", variant=variant))
        gitlab.source.write_state(name, document(9), serial=9, lock_id="lock-1")
        assert versions(gitlab, name)[9] == document(9)
        posts = [seen for seen in gitlab.standin.exchanges() if seen.method == "POST" and seen.status in {200, 500}]
        assert sum(1 for seen in posts if not seen.path.endswith(("/lock", "graphql"))) <= 1

    def test_a_write_that_a_proxy_repeats_is_success(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        with FaultProxy(gitlab.standin.base_url) as proxy:
            proxy.inject(Fault(Effect.TWICE, method="POST", path=f"{STATE}$"))
            build_source(proxy.url).write_state("attic-dev", document(9), serial=9, lock_id="lock-1")
        assert versions(gitlab)[9] == document(9)

    def test_a_write_that_did_not_arrive_is_sent_again_after_looking(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        with FaultProxy(gitlab.standin.base_url) as proxy:
            proxy.inject(
                Fault(Effect.DROP, method="POST", path=f"{STATE}$"),
                Fault(Effect.ANSWER, method="POST", path=f"{STATE}$"),
            )
            build_source(proxy.url).write_state("attic-dev", document(9), serial=9, lock_id="lock-1")
            order = [path.removeprefix(STATE) for method, path in proxy.seen if method in {"GET", "POST"}]
        assert order.count("/versions/9") == 2
        assert versions(gitlab)[9] == document(9)

    def test_a_write_that_never_arrives_is_in_doubt(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        with FaultProxy(gitlab.standin.base_url) as proxy:
            proxy.inject(Fault(Effect.DROP, method="POST", path="attic-dev$", times=9))
            with pytest.raises(UnknownOutcomeError) as failure:
                build_source(proxy.url).write_state("attic-dev", document(9), serial=9, lock_id="lock-1")
            assert proxy.count("POST", "attic-dev$") == 3
        assert "not stored yet" in (failure.value.now or "")
        assert versions(gitlab) == {7: document(7)}

    def test_a_write_that_cannot_be_read_back_is_in_doubt(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        with FaultProxy(gitlab.standin.base_url) as proxy:
            proxy.inject(Fault(Effect.COMMIT_THEN_DROP, method="POST", path="attic-dev$"))
            proxy.inject(Fault(Effect.DROP, method="GET", path="/versions/", times=9))
            with pytest.raises(UnknownOutcomeError) as failure:
                build_source(proxy.url).write_state("attic-dev", document(9), serial=9, lock_id="lock-1")
        assert "may or may not be stored" in (failure.value.now or "")

    def test_a_token_that_is_revoked_after_a_lost_write_settles_nothing(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        with FaultProxy(gitlab.standin.base_url) as proxy:
            proxy.inject(Fault(Effect.COMMIT_THEN_DROP, method="POST", path="attic-dev$"))
            proxy.inject(Fault(Effect.ANSWER, path="/versions/", status=401, times=None))
            with pytest.raises(UnknownOutcomeError, match="refuses the token"):
                build_source(proxy.url).write_state("attic-dev", document(9), serial=9, lock_id="lock-1")
        assert versions(gitlab)[9] == document(9)

    @pytest.mark.parametrize("held_by", [None, "theirs"])
    def test_without_our_lock_it_is_refused_although_gitlab_says_500(
        self, gitlab: GitLabPlace, held_by: str | None
    ) -> None:
        if held_by:
            hold(gitlab, lock_id=held_by)
        with pytest.raises(ForeignLockError, match=held_by or "nobody holds it"):
            gitlab.source.write_state("attic-dev", document(9), serial=9, lock_id="lock-1")
        assert versions(gitlab) == {7: document(7)}
        assert lock_holder(gitlab) == held_by

    def test_a_lock_that_is_forced_away_before_the_write_stops_it(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        gitlab.standin.arm(StandinFault(mode="k"))
        with pytest.raises(ForeignLockError):
            gitlab.source.write_state("attic-dev", document(9), serial=9, lock_id="lock-1")
        assert lock_holder(gitlab) is None

    def test_a_wrong_serial_or_no_lock_id_is_a_bug_of_ours_and_sends_nothing(self, gitlab: GitLabPlace) -> None:
        for data, lock_id in ((document(10), "lock-1"), (document(9), "")):
            with pytest.raises(InternalError):
                gitlab.source.write_state("attic-dev", data, serial=9, lock_id=lock_id)
        assert gitlab.standin.exchanges() == ()

    def test_an_unknown_name_creates_nothing(self, gitlab: GitLabPlace) -> None:
        with pytest.raises(BackendError, match="no state named"):
            gitlab.source.write_state("typo", document(1), serial=1, lock_id="lock-1")
        assert gitlab.standin.truth_of(84, "typo") is None

    def test_a_size_limit_is_named(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        gitlab.standin.arm(StandinFault(mode="h"))
        with pytest.raises(BackendError, match="larger than this GitLab accepts"):
            gitlab.source.write_state("attic-dev", document(9), serial=9, lock_id="lock-1")

    def test_a_document_that_gitlab_cannot_read_is_refused_with_its_words(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        with pytest.raises(BackendError, match="invalid JSON"):
            gitlab.source.write_state("attic-dev", b"{", serial=9, lock_id="lock-1")

    def test_a_write_that_is_not_served_afterwards_is_an_error(self, gitlab: GitLabPlace) -> None:
        hold(gitlab)
        gitlab.standin.arm(StandinFault(mode="c", after=1))
        with pytest.raises(BackendError, match="does not serve it"):
            gitlab.source.write_state("attic-dev", document(9), serial=9, lock_id="lock-1")


CALLS: dict[str, Callable[[GitLabSource], object]] = {
    "read": lambda source: source.read_state("attic-dev"),
    "version": lambda source: source.read_version("attic-dev", 7),
    "list": lambda source: source.list_states(),
    "lock": lambda source: source.acquire_lock("attic-dev", lock_info("lock-1")),
    "look": lambda source: source.read_lock("attic-dev", "lock-1"),
    "release": lambda source: source.release_lock("attic-dev", "lock-1"),
    "write": lambda source: source.write_state("attic-dev", document(9), serial=9, lock_id="lock-secret"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


class TestTransport:
    @every_call
    def test_a_redirect_is_refused_and_its_target_named_without_query(
        self, gitlab: GitLabPlace, call: Callable[[GitLabSource], object]
    ) -> None:
        with FaultProxy(gitlab.standin.base_url) as proxy:
            there = {"Location": "https://elsewhere.example.com/api?token=canary"}
            proxy.inject(Fault(Effect.ANSWER, status=307, headers=there, times=99))
            with pytest.raises(BackendError, match=re.escape("https://elsewhere.example.com/api;")) as refusal:
                call(build_source(proxy.url))
        assert "canary" not in str(refusal.value)

    @every_call
    @pytest.mark.parametrize("status", [200, 404, 502])
    def test_a_web_page_is_never_believed(
        self, gitlab: GitLabPlace, call: Callable[[GitLabSource], object], status: int
    ) -> None:
        with FaultProxy(gitlab.standin.base_url) as proxy:
            page = {"Content-Type": "text/html; charset=utf-8"}
            proxy.inject(Fault(Effect.ANSWER, status=status, headers=page, body=b"\n<!doctype html>Hi", times=99))
            with pytest.raises(BackendError):
                call(build_source(proxy.url))
        assert versions(gitlab) == {7: document(7)}

    @every_call
    def test_no_error_shows_a_query_or_the_token(
        self, gitlab: GitLabPlace, call: Callable[[GitLabSource], object]
    ) -> None:
        for fault in (Fault(Effect.DROP, times=99), Fault(Effect.ANSWER, status=500, times=99)):
            with FaultProxy(gitlab.standin.base_url) as proxy:
                proxy.inject(fault)
                with pytest.raises(MigratorError) as failure:
                    call(build_source(proxy.url, token="glpat-canary"))
            shown = f"{failure.value} {failure.value.where} {failure.value.now} {failure.value.hint}"
            assert "glpat-canary" not in shown
            assert "?ID" not in shown
            assert re.match(r"(GET|POST|DELETE) /api/", failure.value.where or "")

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(Effect.DROP, method="GET", times=2),
            Fault(Effect.ANSWER, method="GET", status=502, times=2),
            Fault(Effect.TRUNCATE, method="GET", times=2),
            Fault(Effect.ANSWER, method="GET", status=429, body=b"Retry later", times=2),
        ],
        ids=["dropped", "502", "truncated", "429"],
    )
    def test_a_read_is_repeated_until_it_is_whole(self, gitlab: GitLabPlace, fault: Fault) -> None:
        with FaultProxy(gitlab.standin.base_url) as proxy:
            proxy.inject(fault)
            assert build_source(proxy.url).read_state("attic-dev").data == document(7)
            assert proxy.count("GET") == 3

    def test_a_rate_limit_is_waited_for_as_long_as_it_asks_also_on_writes(self, gitlab: GitLabPlace) -> None:
        slept: list[float] = []
        policy = type(quick_policy())(attempts=3, sleep=slept.append)
        with FaultProxy(gitlab.standin.base_url) as proxy:
            proxy.inject(Fault(Effect.ANSWER, method="POST", path="/lock", status=429, headers={"Retry-After": "7"}))
            build_source(proxy.url, retry=policy).acquire_lock("attic-dev", lock_info("lock-1"))
        assert slept == [7.0]

    def test_a_rate_limit_that_asks_too_much_ends_at_once(self, gitlab: GitLabPlace) -> None:
        with FaultProxy(gitlab.standin.base_url) as proxy:
            proxy.inject(Fault(Effect.ANSWER, status=429, headers={"Retry-After": "3600"}, times=99))
            with pytest.raises(BackendUnreachableError, match="rate limit"):
                build_source(proxy.url).read_state("attic-dev")
            assert len(proxy.seen) == 1

    def test_a_slow_answer_ends_in_time(self, gitlab: GitLabPlace) -> None:
        with FaultProxy(gitlab.standin.base_url) as proxy:
            proxy.inject(Fault(Effect.SLOW, seconds=1.0, times=99))
            source = build_source(proxy.url, timeout=0.1, retry=quick_policy(attempts=1))
            with pytest.raises(BackendUnreachableError, match="no answer in time"):
                source.read_state("attic-dev")

    def test_a_refused_connection_names_the_address(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        with pytest.raises(BackendUnreachableError, match=f"no connection to {url}"):
            build_source(url).read_state("attic-dev")

    def test_a_server_without_tls_is_told_from_a_dead_one(self, gitlab: GitLabPlace) -> None:
        with pytest.raises(BackendUnreachableError, match="no TLS connection"):
            build_source(gitlab.standin.base_url.replace("http:", "https:")).read_state("attic-dev")

    def test_a_private_authority_is_trusted_once_it_is_named(self, gitlab: GitLabPlace, certificate: Path) -> None:
        with FaultProxy(gitlab.standin.base_url, certificate=certificate) as proxy:
            with pytest.raises(BackendUnreachableError, match="certificate verify failed") as failure:
                build_source(proxy.url).read_state("attic-dev")
            assert "source.ca_bundle" in (failure.value.hint or "")
            source = build_source(proxy.url, ca_bundle=str(certificate))
            assert source.read_state("attic-dev").data == document(7)

    def test_a_netrc_of_the_user_is_not_consulted(
        self, gitlab: GitLabPlace, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        netrc = tmp_path_factory.mktemp("home") / "netrc"
        netrc.write_text("machine 127.0.0.1 login x password t-maint\n")
        monkeypatch.setenv("NETRC", str(netrc))
        with pytest.raises(CredentialsRefusedError):
            gitlab.connect(token="t-stranger").list_states()

    def test_the_ca_variable_of_requests_is_honoured_and_ours_wins(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        ours = tmp_path_factory.mktemp("ca") / "ours.pem"
        ours.write_text(ssl.get_default_verify_paths().cafile or "")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/theirs.pem")
        assert build_source("https://gitlab.example.com")._exchange._session.verify == "/theirs.pem"
        source = build_source("https://gitlab.example.com", ca_bundle=str(ours))
        assert source._exchange._session.verify == str(ours)

    @pytest.mark.parametrize(
        "changes",
        [
            {"url": "gitlab.example.com"},
            {"url": "https://user:word@gitlab.example.com"},
            {"url": "https://gitlab.example.com?x=1"},
            {"token": ""},
            {"token": "glpat-line\nbreak"},
            {"token": "glpät"},
            {"ca_bundle": "/nowhere/ca.pem"},
        ],
    )
    def test_settings_that_cannot_work_are_configuration_errors(self, changes: dict[str, str]) -> None:
        with pytest.raises(ConfigurationError) as failure:
            build_source(changes.pop("url", "https://gitlab.example.com"), **changes)
        assert "word" not in str(failure.value)
        assert "glp" not in str(failure.value)
