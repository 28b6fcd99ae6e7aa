"""What the proof is given: everything that this program itself needs to reach both sides, and nothing of the other side."""

from dataclasses import replace

import pytest

from migrator.cli.wiring import Secrets, build_prover, read_secrets
from migrator.inventory.tree import discover_tree
from migrator.journal.run_directory import RunDirectory
from migrator.plan.model import Plan
from tests.plan.conftest import Case

SECRETS = Secrets(token="t-1", access_key="a-1", secret_key="s-1", session_token="u-1")


@pytest.fixture
def plan() -> Plan:
    return Case().plan()


def build(plan, tmp_path, environment=None):
    return build_prover(plan, RunDirectory(tmp_path), discover_tree(tmp_path), SECRETS, environment or {})


def test_each_side_gets_its_own_credentials(plan, tmp_path):
    prover = build(plan, tmp_path)
    assert prover.source_environment == {"TF_HTTP_USERNAME": "migrator", "TF_HTTP_PASSWORD": "t-1"}
    assert prover.target_environment == {
        "AWS_ACCESS_KEY_ID": "a-1",
        "AWS_SECRET_ACCESS_KEY": "s-1",
        "AWS_SESSION_TOKEN": "u-1",
    }


def test_a_profile_takes_the_place_of_the_keys(plan, tmp_path):
    prover = build(replace(plan, target=replace(plan.target, profile="acme")), tmp_path)
    assert prover.target_environment == {"AWS_PROFILE": "acme"}


def test_with_a_profile_the_keys_of_the_environment_are_not_used(plan):
    environment = {"GITLAB_TOKEN": "t", "AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "other"}
    target = replace(plan.target, profile="acme", session_token_env="AWS_SESSION_TOKEN")
    assert read_secrets(plan.source, target, environment).all == ("t", "", "", None)
    assert read_secrets(None, plan.target, environment).all == ("", "other", "other", None)


def test_the_certificates_that_are_trusted_here_are_trusted_there(plan, tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----")
    plan = replace(
        plan,
        source=replace(plan.source, ca_bundle=str(bundle)),
        target=replace(plan.target, ca_bundle=str(bundle)),
    )
    prover = build(plan, tmp_path)
    assert prover.source_environment["TF_HTTP_CLIENT_CA_CERTIFICATE_PEM"] == bundle.read_text()
    assert prover.target_environment["AWS_CA_BUNDLE"] == str(bundle)


def test_what_only_this_program_reads_does_not_reach_the_proof(plan, tmp_path):
    plan = replace(
        plan,
        source=replace(plan.source, token_env="MOVE_TOKEN"),
        target=replace(plan.target, access_key_env="MOVE_KEY", secret_key_env="MOVE_SECRET"),
    )
    ours = {"MOVE_TOKEN": "t", "MOVE_KEY": "a", "MOVE_SECRET": "s", "MIGRATOR_YES": "1"}
    theirs = {"PATH": "/bin", "GITLAB_TOKEN": "a provider's", "AWS_PROFILE": "p", "TF_VAR_x": "1"}
    assert build(plan, tmp_path, ours | theirs).environment == theirs


def test_what_a_provider_reads_under_the_same_name_reaches_it(plan, tmp_path):
    environment = {"GITLAB_TOKEN": "t", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    assert build(plan, tmp_path, environment).environment == environment


def test_the_proof_strikes_every_secret_and_reads_what_was_captured(plan, tmp_path):
    prover = build(plan, tmp_path)
    assert set(prover.secrets) == {"t-1", "a-1", "s-1", "u-1", "migrator:t-1"}
    state = plan.states[0]
    assert prover.read_document(state) is None
    captured = replace(state, sha256=RunDirectory(tmp_path).blobs.write(b"{}"))
    assert prover.read_document(captured) == b"{}"
