"""Protection rules on the stand-in: made, read, removed; replies lost; not supported, not allowed, somebody else's."""

from collections.abc import Callable, Iterator

import pytest

from migrator.backends.base import Protection, ProtectionRule, Unprotected
from migrator.errors import BackendUnreachableError, CredentialsRefusedError, UnknownOutcomeError
from migrator.standin import Standin, parse_configuration
from tests.backends.conftest import GITLAB, GitLabPlace, build_source, lock_info
from tests.support.fault_proxy import Effect, Fault, FaultProxy

RULES = "/terraform/state_protection_rules"
OURS = ProtectionRule(id=1, level="admin", allowed_from="anywhere")


@pytest.fixture
def start() -> Iterator[Callable[..., GitLabPlace]]:
    """Start a stand-in with these rules (level, place) for attic-dev; ``None`` has the feature off."""
    running: list[Standin] = []

    def begin(*rules: tuple[str, str], feature: bool = True) -> GitLabPlace:
        seeded = [
            {
                "project": 84,
                "state_name": "attic-dev",
                "minimum_access_level_for_write": level,
                "allowed_from": place,
            }
            for level, place in rules
        ]
        more = {"protection_rules": seeded} if feature else {}
        standin = Standin(parse_configuration({"format": "gitlab-standin/1"} | GITLAB | more))
        standin.start()
        running.append(standin)
        return GitLabPlace(standin=standin, source=build_source(standin.base_url))

    yield begin
    for standin in running:
        standin.stop()


@pytest.fixture
def gitlab(start: Callable[..., GitLabPlace]) -> GitLabPlace:
    return start()


def names(gitlab: GitLabPlace) -> list[str]:
    return [rule.state_name for rule in gitlab.standin.rules(84)]


def test_a_rule_keeps_out_whoever_made_it_until_it_is_removed(gitlab: GitLabPlace) -> None:
    gitlab.source.acquire_lock("attic-dev", lock_info("lock-1"))
    assert gitlab.source.read_protection("attic-dev") == Protection()
    assert gitlab.source.protect_state("attic-dev") == Protection(rule=OURS)
    assert gitlab.source.read_protection("attic-dev") == Protection(rule=OURS)
    for attempt in (
        lambda: gitlab.source.release_lock("attic-dev", "lock-1"),
        lambda: gitlab.source.read_lock("attic-dev", "lock-1"),
    ):
        with pytest.raises(CredentialsRefusedError, match="protected"):
            attempt()
    seen = gitlab.source.read_lock("attic-dev", "")
    assert seen is not None
    assert seen.who == "maint"
    assert gitlab.source.unprotect_state("attic-dev", 1) is Unprotected.REMOVED
    assert gitlab.source.unprotect_state("attic-dev", 1) is Unprotected.ABSENT
    assert gitlab.source.release_lock("attic-dev", "lock-1").value == "released"


def test_any_name_can_be_protected(gitlab: GitLabPlace) -> None:
    assert gitlab.source.protect_state("a.b c/d").rule == OURS
    assert gitlab.source.read_protection("attic-dev").rule is None
    assert names(gitlab) == ["a.b c/d"]


def test_a_gitlab_without_rules_is_asked_once(start: Callable[..., GitLabPlace]) -> None:
    gitlab = start(feature=False)
    for _ in range(3):
        assert "has no protection rules" in gitlab.source.read_protection("attic-dev").reason
    assert sum(1 for seen in gitlab.standin.exchanges() if seen.path.endswith(RULES)) == 1
    assert gitlab.source.protect_state("attic-dev").rule is None
    assert gitlab.source.unprotect_state("attic-dev", 1) is Unprotected.SWITCHED_OFF


@pytest.mark.parametrize("status", [404, 405])
def test_a_gitlab_that_can_only_list_says_so(gitlab: GitLabPlace, status: int) -> None:
    with FaultProxy(gitlab.standin.base_url) as proxy:
        proxy.inject(Fault(Effect.ANSWER, method="POST", path=RULES, status=status, body=b'{"error":"404 Not Found"}'))
        assert "19.1" in build_source(proxy.url).protect_state("attic-dev").reason


def test_a_token_that_may_not_is_an_answer(gitlab: GitLabPlace) -> None:
    weak = gitlab.connect(token="t-dev")
    assert weak.read_protection("attic-dev") == Protection()
    assert "may not make" in weak.protect_state("attic-dev").reason
    blind = gitlab.connect(token="t-reporter").read_protection("attic-dev")
    assert (blind.known, "may not read" in blind.reason) == (False, True)
    assert names(gitlab) == []
    gitlab.source.protect_state("attic-dev")
    for token in ("t-dev", "t-reporter"):
        with pytest.raises(CredentialsRefusedError):
            gitlab.connect(token=token).unprotect_state("attic-dev", 1)
    assert names(gitlab) == ["attic-dev"]


@pytest.mark.parametrize("token", ["t-expired", "t-stranger"])
def test_a_token_that_is_nobody_is_an_error(gitlab: GitLabPlace, token: str) -> None:
    source = gitlab.connect(token=token)
    for attempt in (
        lambda: source.read_protection("attic-dev"),
        lambda: source.protect_state("attic-dev"),
        lambda: source.unprotect_state("attic-dev", 1),
    ):
        with pytest.raises(CredentialsRefusedError):
            attempt()


@pytest.mark.parametrize(
    ("level", "place", "keeps_out", "as_made"),
    [
        ("admin", "anywhere", True, True),
        ("admin", "ci_only", True, False),
        ("owner", "anywhere", False, False),
        ("maintainer", "ci_only", False, False),
    ],
)
def test_a_rule_that_stands_already_is_left_alone(
    start: Callable[..., GitLabPlace], level: str, place: str, *, keeps_out: bool, as_made: bool
) -> None:
    gitlab = start((level, place))
    before = gitlab.standin.rules(84)
    rule = gitlab.source.protect_state("attic-dev").rule
    assert rule is not None
    assert rule == gitlab.source.read_protection("attic-dev").rule
    assert (rule.keeps_everybody_out, rule.is_as_made) == (keeps_out, as_made)
    if not as_made:
        assert gitlab.source.unprotect_state("attic-dev", rule.id) is Unprotected.CHANGED
    assert gitlab.source.unprotect_state("attic-dev", rule.id + 1) is Unprotected.ABSENT
    assert gitlab.source.unprotect_state("a.b c/d", rule.id) is Unprotected.ABSENT
    assert gitlab.standin.rules(84) == before


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Effect.COMMIT_THEN_DROP, method="POST"),
        Fault(Effect.COMMIT_THEN_ANSWER, method="POST", status=500),
        Fault(Effect.COMMIT_THEN_ANSWER, method="POST", status=502, body=b"<html>Bad Gateway</html>"),
        Fault(Effect.TRUNCATE, method="POST"),
        Fault(Effect.TWICE, method="POST"),
        Fault(Effect.DROP, method="POST"),
        Fault(Effect.ANSWER, method="POST", status=503),
        Fault(Effect.ANSWER, method="POST", status=429),
        Fault(Effect.DROP, method="GET"),
    ],
)
def test_a_rule_is_made_once_whatever_becomes_of_the_reply(gitlab: GitLabPlace, fault: Fault) -> None:
    with FaultProxy(gitlab.standin.base_url) as proxy:
        fault.path, fault.times = RULES, 1
        proxy.inject(fault)
        source = build_source(proxy.url)
        assert source.protect_state("attic-dev").rule == OURS
        assert source.read_protection("attic-dev").rule == OURS
    assert names(gitlab) == ["attic-dev"]


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault(Effect.COMMIT_THEN_DROP, method="DELETE"), Unprotected.ABSENT),
        (Fault(Effect.COMMIT_THEN_ANSWER, method="DELETE", status=500), Unprotected.ABSENT),
        (Fault(Effect.TWICE, method="DELETE"), Unprotected.ABSENT),
        (Fault(Effect.DROP, method="DELETE"), Unprotected.REMOVED),
        (Fault(Effect.ANSWER, method="DELETE", status=503), Unprotected.REMOVED),
    ],
)
def test_a_rule_is_removed_whatever_becomes_of_the_reply(
    gitlab: GitLabPlace, fault: Fault, outcome: Unprotected
) -> None:
    gitlab.source.protect_state("attic-dev")
    with FaultProxy(gitlab.standin.base_url) as proxy:
        fault.path, fault.times = RULES, 1
        proxy.inject(fault)
        assert build_source(proxy.url).unprotect_state("attic-dev", 1) is outcome
    assert names(gitlab) == []


def test_a_rule_that_never_arrives_is_in_doubt(gitlab: GitLabPlace) -> None:
    with FaultProxy(gitlab.standin.base_url) as proxy:
        proxy.inject(Fault(Effect.DROP, method="POST", path=RULES, times=9))
        with pytest.raises(UnknownOutcomeError) as failure:
            build_source(proxy.url).protect_state("attic-dev")
        assert proxy.count("POST", RULES) == 3
    assert "may still make one" in (failure.value.now or "")


def test_a_gitlab_that_stays_away_is_an_error(gitlab: GitLabPlace) -> None:
    gitlab.source.protect_state("attic-dev")
    with FaultProxy(gitlab.standin.base_url) as proxy:
        proxy.inject(Fault(Effect.ANSWER, method="DELETE", path=RULES, times=9))
        with pytest.raises(BackendUnreachableError):
            build_source(proxy.url).unprotect_state("attic-dev", 1)
    assert names(gitlab) == ["attic-dev"]


def test_a_rule_that_gitlab_refuses_is_quoted(gitlab: GitLabPlace) -> None:
    with FaultProxy(gitlab.standin.base_url) as proxy:
        body = b'{"message":{"error":["boom"]}}'
        proxy.inject(Fault(Effect.ANSWER, method="POST", path=RULES, status=422, body=body))
        assert "boom" in build_source(proxy.url).protect_state("attic-dev").reason


def test_a_page_of_a_proxy_is_no_answer(gitlab: GitLabPlace) -> None:
    with FaultProxy(gitlab.standin.base_url) as proxy:
        proxy.inject(Fault(Effect.ANSWER, path=RULES, status=404, body=b"<html>Not here</html>"))
        with pytest.raises(Exception, match="web page"):
            build_source(proxy.url).read_protection("attic-dev")
