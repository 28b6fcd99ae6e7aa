from contextlib import suppress
from textwrap import indent

import pytest
from hypothesis import given

from migrator.rewrite.locate_markdown import locate_markdown
from migrator.rewrite.locate_yaml import locate_yaml
from migrator.rewrite.reference import Disposition, ReferenceKind
from migrator.rewrite.replacements import CannotReplaceError, build_edits
from migrator.rewrite.spans import apply_edits
from tests.rewrite.fragments import ADDRESS, PIPELINES, TARGET, TEXTS, check_references


@given(TEXTS)
def test_any_text_is_located(text: str) -> None:
    check_references(text, locate_markdown(text))


@given(PIPELINES)
def test_a_pipeline_in_a_list_is_rewritten_as_one_in_a_file(text: str) -> None:
    text = text.replace("\r\n", "\n")
    document = "- A pipeline:\n\n" + indent(f"```yaml\n{text}```\n", "  ")
    found, alone = locate_markdown(document), locate_yaml(text)
    assert [one.kind for one in found] == [one.kind for one in alone]
    with suppress(CannotReplaceError):
        expected = apply_edits(text, build_edits(alone, text, TARGET))
        assert rewrite(document) == "- A pipeline:\n\n" + indent(f"```yaml\n{expected}```\n", "  ")


def rewrite(text: str) -> str:
    return apply_edits(text, build_edits(locate_markdown(text), text, TARGET))


def test_a_sentence_broken_over_lines_is_one_claim() -> None:
    assert rewrite("Stacks use the OpenTofu\nHTTP state backend.\n") == "Stacks use the OpenTofu s3 backend.\n"


def test_other_sentences_of_the_paragraph_stay() -> None:
    text = "Run `just`. State is stored in GitLab. Then plan.\n"
    assert rewrite(text) == "Run `just`. State is stored in S3. Then plan.\n"


@pytest.mark.parametrize(
    "sentence",
    [
        "State is encrypted at rest by GitLab.",
        "Why GitLab: it keeps state with locking.",
        "States are stored in the GitLab project of the overlay, never upstream.",
        "Create a token with the Maintainer role and keep it as `TF_HTTP_PASSWORD`.",
        "Isolation between teams comes from project permissions: no token reads another state.",
        "GitLab state needs no S3 variables.",
    ],
)
def test_a_sentence_that_says_more_is_reported(sentence: str) -> None:
    found = locate_markdown(sentence + "\n")
    assert found
    assert {one.disposition for one in found} == {Disposition.REPORT}


@pytest.mark.parametrize(
    "text",
    [
        "It assumes access to the GitLab project `acme/infra` with the Maintainer role.\n",
        "Each overlay passes the address of its own GitLab project when it initializes.\n",
        "Plans are made by hand; see [the guide](x.md) for the GitLab token that this needs.\n",
        "Because states are named within a project, two teams can both have `web-dev`.\n",
        "**404**: Backend project ID is wrong.\n",
        "Create a personal access token with the `api` scope. It reads every state, by its rules.\n",
        "| Repository | State |\n| --- | --- |\n| `infra` | GitLab, project 84 |\n",
    ],
)
def test_claims_without_a_keyword_are_reported(text: str) -> None:
    assert [one for one in locate_markdown(text) if one.kind is ReferenceKind.PROSE]


def test_a_report_proposes_a_sentence() -> None:
    (one,) = locate_markdown("The token in TF_HTTP_PASSWORD is for the state in GitLab only, because of roles.\n")
    assert "proposal" in one.reason
    assert "AWS_ACCESS_KEY_ID" in one.reason


@pytest.mark.parametrize(
    "text",
    [
        "---\ntitle: State in GitLab\n---\n\nText.\n",
        "The GitLab runners use `-backend=false` and have S3 buckets.\n",
        "Names are `gitlab-runners-dev` for each state.\n",
        "```python\nstate = gitlab\n```\n",
        "Pods are in state `Failed`.\n",
    ],
)
def test_lookalikes_are_no_reference(text: str) -> None:
    assert locate_markdown(text) == ()


def test_headings_are_reported_and_kept() -> None:
    text = "# State in GitLab\n"
    assert [one.disposition for one in locate_markdown(text)] == [Disposition.REPORT]
    assert rewrite(text) == text


@pytest.mark.parametrize("lead", ["", "> ", "   ", "> > "])
def test_snippets_keep_what_stands_before_their_lines(lead: str) -> None:
    opening = "1. x\n\n" if lead == "   " else ""
    lines = ["```bash", f'tofu init -backend-config="address={ADDRESS}"', "tofu plan", "```"]
    text = opening + "".join(f"{lead}{line}\n" for line in lines)
    after = rewrite(text).removeprefix(opening).splitlines()
    assert all(line.startswith(lead) for line in after)
    assert after[1] == f'{lead}tofu init -reconfigure -backend-config="key=p/web-dev/terraform.tfstate"'
    assert after[2:] == [f"{lead}tofu plan", f"{lead}```"]


def test_an_init_without_settings_is_reported() -> None:
    (init,) = locate_markdown("```bash\ncd stacks/web\ntofu init\n```\n")
    assert (init.kind, init.disposition) == (ReferenceKind.BARE_INIT, Disposition.REPORT)


def test_a_snippet_that_cannot_be_parsed_is_reported_line_by_line() -> None:
    found = locate_markdown("```yaml\na: [TF_HTTP_ADDRESS\nb: TF_HTTP_PASSWORD\n```\n")
    assert [one.disposition for one in found] == [Disposition.REPORT, Disposition.REPORT]


def test_a_table_of_nothing_else_is_reported() -> None:
    found = locate_markdown("| Variable | Value |\n| --- | --- |\n| `TF_HTTP_ADDRESS` | address |\n")
    assert {one.disposition for one in found} == {Disposition.REPORT}


def test_an_escaped_bar_stays_in_its_cell() -> None:
    text = "| Name | Meaning |\n| --- | --- |\n| `a \\| b` | State is in GitLab |\n"
    assert rewrite(text) == "| Name | Meaning |\n| --- | --- |\n| `a \\| b` | State is in S3 |\n"
