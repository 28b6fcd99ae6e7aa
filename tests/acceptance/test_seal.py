"""The seal of a GitLab that has protection rules, against the real client: neither a lock forced open nor none at all helps."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from migrator.standin import Standin, parse_configuration
from tests.support.estate_lab import STATES, GitLab, Lab, build_gitlab, replace_setting
from tests.support.s3_servers import S3Server

PROJECT = 84
STATE = "attic-dev"
CHANGE = ("apply", "-auto-approve", "-var=retention_days=7")


class ProtectingGitLab(GitLab):
    """A GitLab with the feature on, in this process."""

    def __init__(self, directory: Path, states: Mapping[str, Sequence[bytes]], *, token: str) -> None:
        self.token = token
        self.standin = Standin(parse_configuration({**build_gitlab(states, token), "protection_rules": []}))
        self.url = self.standin.start()

    def stop(self) -> None:
        self.standin.stop()

    def rules(self) -> list[str]:
        return sorted(rule.state_name for rule in self.standin.rules(PROJECT))

    def unlock_by_hand(self, name: str) -> None:
        """What the button in GitLab's user interface does."""
        row = self.standin.store.find(PROJECT, name)
        assert row is not None
        query = (
            f'mutation {{ terraformStateUnlock(input: {{id: "gid://gitlab/Terraform::State/{row.id}"}}) {{ errors }} }}'
        )
        self._request("/api/graphql", json.dumps({"query": query}).encode())


def test_a_stale_checkout_writes_nothing_whatever_becomes_of_the_lock(
    moto: S3Server, make_lab: Callable[..., Lab]
) -> None:
    lab = make_lab(moto, gitlab=ProtectingGitLab, settings=replace_setting("proof.plan", '"off"'))
    gitlab = lab.gitlab
    assert isinstance(gitlab, ProtectingGitLab)
    stale = lab.clone("stale")
    lab.migrate()
    lab.check_migrated()
    assert gitlab.rules() == sorted(STATES)
    status = lab.migrator("status", "--json").document()
    assert {state["seal"] for state in status["states"]} == {"lock and protection rule"}
    lab.just(STATE, "tofu-init", credentials="source", directory=stale)

    def apply(*more: str) -> str:
        directory = stale / "stacks" / "attic"
        refused = lab.tofu(STATE, *CHANGE, *more, credentials="source", directory=directory, expect=1)
        assert gitlab.document(STATE) == lab.newest()[STATE]
        return refused.text

    assert "Error acquiring the state lock" in apply()
    assert "Failed to save state" in apply("-lock=false")
    gitlab.unlock_by_hand(STATE)
    assert STATE not in gitlab.locked()
    assert "Error acquiring the state lock" in apply()
    assert "Failed to save state" in apply("-lock=false")
    assert {
        seen.status for seen in gitlab.standin.exchanges() if seen.method == "POST" and seen.path.endswith(STATE)
    } == {403}
    assert "the lock was lifted; the protection rule keeps everybody out" in lab.migrator("verify").text
    lab.migrator("rollback", "--yes")
    assert gitlab.rules() == []
    lab.check_untouched()
