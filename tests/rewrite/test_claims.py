"""Sentences about the source: what they become, what a person is offered, and what nobody may be told."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.rewrite.claims import may_be_meant, may_name_source, names_source
from migrator.rewrite.reference import TargetCoordinates
from migrator.rewrite.replacements.claims import build_proposal, build_sentence

TARGET = TargetCoordinates(
    endpoint="https://s3.example", bucket="tofu-state", region="r", key="a/{state}", path_style=True, style="inline"
)
KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
EITHER = "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("State is stored in GitLab.", "State is stored in S3."),
        ("We store state in GitLab's HTTP backend.", "We store state in the s3 backend."),
        ("Uses GitLab-managed Terraform state with locking.", "Uses Terraform state in S3 with locking."),
        ("Make sure TF_HTTP_PASSWORD is exported first.", f"Make sure {KEYS} are exported first."),
        ("The value of TF_HTTP_PASSWORD is masked.", f"The value of {KEYS} is masked."),
        ("Stops when TF_HTTP_PASSWORD is not set.", f"Stops when {EITHER} is not set."),
        ("Needs neither TF_HTTP_PASSWORD nor a network.", "Needs neither AWS_ACCESS_KEY_ID nor AWS_SECRET_ACCESS_KEY nor a network."),
        ("The TF_HTTP_PASSWORD variable is masked.", f"The {KEYS} variables are masked."),
        ("TF_HTTP_PASSWORD should be a GitLab PAT with api scope.", f"{KEYS} should be those of an S3 access key."),
        ("Requires TF_HTTP_PASSWORD (GitLab PAT with api scope).", f"Requires {KEYS} (an S3 access key)."),
        ("The password comes from TF_HTTP_PASSWORD.", f"the credentials come from {KEYS}."),
        ("Credentials are read from TF_HTTP_*.", f"Credentials are read from {KEYS}."),
        ("See the pipelines of GitLab CI.", "See the pipelines of GitLab CI."),
    ],
)  # fmt: skip
def test_every_fact_survives(before: str, after: str) -> None:
    assert build_sentence(before, TARGET) == after


@pytest.mark.parametrize(
    "sentence",
    [
        "The eight TF_HTTP_* variables are set by CI.",
        "TF_HTTP_USERNAME can be anything, GitLab ignores it.",
        "Set TF_HTTP_ADDRESS to the address of the state.",
        "TF_HTTP_PASSWORD, which holds the token, must be set.",
        "State is not in S3 but in GitLab.",
        "The state is encrypted at rest by GitLab.",
        "State moved to GitLab in 2023.",
        "The state is found in GitLab under **Operate > Terraform states**.",
        "Create a personal access token and the Maintainer role for the state in GitLab.",
        'The backend "http" block is empty.',
        "The state is locked by GitLab while a job runs.",
        "Der State liegt in GitLab.",
        "L'état est dans le GitLab-managed Terraform state.",
    ],
)
def test_what_is_not_certain_is_left_to_a_person(sentence: str) -> None:
    assert build_sentence(sentence, TARGET) is None


def test_a_proposal_is_a_sentence_or_nothing() -> None:
    assert build_proposal("Never commit TF_HTTP_PASSWORD.", TARGET) == f"Never commit {KEYS}."
    assert build_proposal("`env | grep TF_HTTP_` must print seven lines.", TARGET) is None
    assert build_proposal("The latter sets the eight `TF_HTTP_*` variables.", TARGET) is None
    assert build_proposal("State is encrypted at rest by GitLab.", TARGET) is None


@pytest.mark.parametrize(
    "claim",
    [
        "This initializes the backend against GitLab using the CI job token.",
        "Backend: http (GitLab)",
        "Wir verwenden das von GitLab verwaltete Terraform-Backend.",
        "The file can be downloaded from **Operate > Terraform states**.",
        "See https://docs.gitlab.com/ee/user/infrastructure/iac/terraform_state.html",
    ],
)
def test_a_claim_in_other_words_is_seen(claim: str) -> None:
    assert names_source(claim) or may_name_source(claim) or may_be_meant(claim)


WORDS = st.sampled_from(
    [
        "TF_HTTP_PASSWORD",
        "TF_HTTP_USERNAME",
        "TF_HTTP_*",
        "GitLab",
        "GitLab's",
        "state",
        "HTTP",
        "backend",
        "in",
        "is",
        "not",
        "set",
        "the",
        "a",
        "token",
        "managed",
        "with",
        "api",
        "scope",
        "and",
        "nor",
        "neither",
        "by",
        "stored",
    ]
)


@given(st.lists(WORDS, min_size=1, max_size=12).map(" ".join))
def test_what_is_written_never_names_the_source(sentence: str) -> None:
    for written in (build_sentence(sentence, TARGET), build_proposal(sentence, TARGET)):
        if written is not None:
            assert not names_source(written)
            assert "TF_HTTP" not in written
            assert not re.search(r"neither AWS_ACCESS_KEY_ID and", written)
