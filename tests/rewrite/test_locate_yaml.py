import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from migrator.rewrite.checks_yaml import check_yaml
from migrator.rewrite.locate_yaml import locate_yaml, read_yaml_jobs
from migrator.rewrite.reference import Disposition, ReferenceKind
from migrator.rewrite.replacements import CannotReplaceError, build_edits
from migrator.rewrite.spans import apply_edits, line_of
from migrator.rewrite.unparsable import UnparsableError
from migrator.rewrite.yaml_jobs import collect_script_runs, resolve_scripts, resolve_variables
from migrator.rewrite.yaml_tree import YamlMapping, YamlNode, YamlScalar, YamlSequence, YamlTree, read_yaml_tree
from tests.rewrite.fragments import PIPELINES, TARGET, TEXTS, check_references


@given(TEXTS)
def test_any_text_is_located_or_refused(text: str) -> None:
    refused: UnparsableError | None = None
    try:
        check_references(text, locate_yaml(text))
    except UnparsableError as error:
        refused = error
    assert refused is None or 1 <= refused.line <= text.count("\n") + 1


def load(node: YamlNode | None, tree: YamlTree) -> object:
    found = tree.resolve(node)
    if isinstance(found, YamlScalar):
        return found.value
    if isinstance(found, YamlMapping):
        return {pair.name: load(pair.value, tree) for pair in found.pairs}
    return [load(item, tree) for item in found.items] if isinstance(found, YamlSequence) else None


def without_last_breaks(value: object) -> object:
    """How many line breaks end a block scalar (``|+``) matters to no script, and is not decoded."""
    if isinstance(value, dict):
        return {key: without_last_breaks(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_last_breaks(one) for one in value]
    return value.rstrip("\n") or None if isinstance(value, str) else value


@given(PIPELINES)
def test_a_rewritten_pipeline_has_its_jobs_and_nothing_left(text: str) -> None:
    found = locate_yaml(text)
    check_references(text, found)
    try:
        edits = build_edits(found, text, TARGET)
    except CannotReplaceError as error:
        assert "nothing would be left" in str(error)  # noqa: PT017 - the only refusal that these pipelines can cause
        return
    after = apply_edits(text, edits)
    check_yaml(text, after)
    assert [one for one in locate_yaml(after) if one.disposition is Disposition.REWRITE] == []


SCALARS = st.text(st.sampled_from("ab c'\"\\é:\n"), max_size=12)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)


@given(
    st.dictionaries(st.sampled_from(["x", "job:a", ".y"]), VALUES, min_size=1),
    st.sampled_from([None, "'", '"', "|", ">"]),
)
def test_decodes_what_another_parser_decodes(document: dict[str, object], style: str | None) -> None:
    text = yaml.dump(document, default_style=style, allow_unicode=True)
    tree = read_yaml_tree(text)

    assert without_last_breaks(load(tree.documents[0], tree)) == without_last_breaks(yaml.load(text, yaml.BaseLoader))  # noqa: S506


@pytest.mark.parametrize(
    ("text", "line"),
    [("TF_HTTP_X: [1,\n", 1), ("a: 1\nTF_HTTP_X: 'x\n", 2), ("a:\n  b: 1\n c: TF_HTTP_\n", 3), ("a: b: TF_HTTP_", 1)],
)
def test_broken_yaml_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(UnparsableError) as raised:
        locate_yaml(text)
    assert raised.value.line == line


def test_a_text_without_any_mark_is_not_parsed() -> None:
    assert locate_yaml("a: [broken") == ()


CHAIN = """
variables: { REGION: eu }
.base: { variables: { TF_HTTP_ADDRESS: "x/terraform/state/$NAME", REGION: us } }
.tools:
  extends: .base
  before_script: [tofu version]
first:
  extends: [.tools]
  variables: { NAME: a }
  script: [tofu plan]
second:
  extends: first
  variables: { NAME: b }
  before_script:
    - !reference [.tools, before_script]
    - tofu init
"""


def test_variables_come_through_the_whole_chain() -> None:
    pipeline = read_yaml_jobs(CHAIN)
    assert resolve_variables(pipeline.jobs["second"], [pipeline]) == {
        "REGION": "us",
        "TF_HTTP_ADDRESS": "x/terraform/state/$NAME",
        "NAME": "b",
    }


def test_scripts_come_through_the_chain_and_references() -> None:
    pipeline = read_yaml_jobs(CHAIN)
    assert [one.value for one in resolve_scripts(pipeline.jobs["second"], [pipeline])] == [
        "tofu version",
        "tofu init",
        "tofu plan",
    ]


def test_a_template_is_found_in_another_file() -> None:
    template = read_yaml_jobs(".base:\n  variables:\n    TF_HTTP_ADDRESS: x/terraform/state/${NAME}\n")
    text = "job:\n  extends: .base\n  script:\n    - tofu init\n"
    (init,) = locate_yaml(text, inherited=[template])
    assert (init.kind, init.disposition, init.state) == (ReferenceKind.BARE_INIT, Disposition.REWRITE, "${NAME}")


def test_an_init_whose_template_is_unknown_is_reported() -> None:
    (init,) = locate_yaml("job:\n  extends: .elsewhere\n  script:\n    - tofu init\n")
    assert init.disposition is Disposition.REPORT
    assert ".elsewhere" in init.reason


def test_an_init_without_a_source_in_sight_is_reported() -> None:
    (init,) = locate_yaml("job:\n  script:\n    - tofu init\n")
    assert (init.kind, init.disposition) == (ReferenceKind.BARE_INIT, Disposition.REPORT)


def test_extends_in_a_circle_ends() -> None:
    pipeline = read_yaml_jobs("a: {extends: b, script: [tofu init]}\nb: {extends: a, script: [x]}\n")
    assert set(resolve_variables(pipeline.jobs["a"], [pipeline])) == set()
    assert len(collect_script_runs(pipeline, [])) == 2


def test_what_one_item_exports_the_next_ones_see() -> None:
    text = (
        "job:\n  script:\n    - export TF_HTTP_ADDRESS=https://g/api/v4/projects/1/terraform/state/x\n    - tofu init\n"
    )
    assert [one.state for one in locate_yaml(text)] == ["x", "x"]


def test_a_commented_out_job_is_inactive_and_stays() -> None:
    text = "# prod:\n#   variables:\n#     STATE_NAME: web-prod\n#   script:\n#     - tofu init\nx: 1\n"
    (job,) = locate_yaml(text)
    assert (job.disposition, job.state) == (Disposition.REPORT, "web-prod")
    assert "inactive" in job.reason
    assert line_of(text, job.span.end) == 5


def test_commented_words_with_a_colon_are_no_job() -> None:
    assert locate_yaml("# tofu:\n#   STATE_NAME is a variable\nx: 1\n") == ()


@pytest.mark.parametrize(
    "text",
    [
        "a: {TF_HTTP_USERNAME: x}\n",
        "a:\n  - TF_HTTP_USERNAME: x\n",
        "env:\n  - name: TF_HTTP_PASSWORD\n    value: x\n",
        "job:\n  script: [x]\n  variables:\n    AWS_ACCESS_KEY_ID: product\n    TF_HTTP_PASSWORD: x\n",
        "jobs:\n  a:\n    env:\n      TF_HTTP_PASSWORD: ${{ inputs.token }}\n    steps: []\n",
        "jobs:\n  a:\n    uses: ./x.yml\n    secrets:\n      TF_HTTP_PASSWORD: ${{ secrets.X }}\n",
        "on:\n  workflow_call:\n    secrets:\n      TF_HTTP_PASSWORD:\n        required: true\njobs: {}\n",
        "job:\n  script: [x]\n  parallel:\n    matrix:\n      - TF_HTTP_ADDRESS: [a, b]\n",
        "kind: ConfigMap\ndata:\n  TF_HTTP_ADDRESS: x\n  B: c\n",
        "TF_HTTP_ADDRESS: x\n",
        "x:\n  environment:\n    TF_HTTP_PASSWORD: literal\n    B: 1\n",
    ],
)
def test_variables_in_doubt_are_reported(text: str) -> None:
    assert {one.disposition for one in locate_yaml(text)} == {Disposition.REPORT}


def test_a_github_graph_has_its_steps() -> None:
    pipeline = read_yaml_jobs(
        "on: push\nenv: {A: 1}\njobs:\n  x:\n    needs: y\n    env: {B: 2}\n    steps:\n      - {run: tofu init, env: {C: 3}}\n"
    )
    ((_, runs),) = collect_script_runs(pipeline, []).items()
    assert pipeline.dialect == "github"
    assert pipeline.jobs["x"].needs == ("y",)
    assert runs[0].variables == {"A": "1", "B": "2", "C": "3"}


@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {environment: {X: 1}}}\n",
        "apiVersion: v1\nkind: Pod\n",
        "pool: x\nstages: []\n",
        "- a\n",
        "a\n",
        "",
    ],
)
def test_other_files_are_no_pipelines(text: str) -> None:
    assert read_yaml_jobs(text).dialect == "other"


def test_a_comment_at_the_margin_hides_no_variable() -> None:
    text = "services:\n  tofu:\n    environment:\n# GitLab HTTP backend\n      TF_HTTP_USERNAME: ci\n      A: b\n"
    assert [one.kind for one in locate_yaml(text)] == [ReferenceKind.CI_VARIABLE]


def test_a_job_may_have_the_name_of_another_systems_key() -> None:
    text = (
        "stages: [a]\ntrigger:\n  variables:\n    TF_HTTP_ADDRESS: $A/terraform/state/x\n  script:\n    - tofu init\n"
    )
    init = next(one for one in locate_yaml(text) if one.kind is ReferenceKind.BARE_INIT)
    assert (init.state, init.disposition) == ("x", Disposition.REWRITE)
