from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.rewrite.checks import check_shell
from migrator.rewrite.locate_shell import locate_shell, mask_expressions, mask_just
from migrator.rewrite.reference import Disposition, Located, ReferenceKind, TargetCoordinates
from migrator.rewrite.replacements import build_edits
from migrator.rewrite.shell_source import ShellSource, mask_nothing
from migrator.rewrite.spans import Span, apply_edits
from tests.rewrite.fragments import check_references


def kinds(located: tuple[Located, ...]) -> list[tuple[ReferenceKind, Disposition]]:
    return [(one.kind, one.disposition) for one in located]


def test_flags_span_from_the_first_to_the_last() -> None:
    text = 'tofu init -input=false -backend-config="address=$A/terraform/state/${N}" \\\n  -backend-config=username=x -upgrade\n'
    (one,) = locate_shell(text)
    assert one.span.of(text) == '-backend-config="address=$A/terraform/state/${N}" \\\n  -backend-config=username=x'
    assert one.state == "${N}"
    assert one.detail["reconfigure"] == "absent"


@pytest.mark.parametrize(
    "program",
    ["tofu", "terraform", "/usr/bin/tofu", "${TOFU:-tofu}", '"$TF"', "{{tofu_bin}}", "tofu -chdir=x", "sudo tofu"],
)
def test_programs_that_are_opentofu(program: str) -> None:
    text = f"{program} init -backend-config=address=https://g/terraform/state/a\n"
    (one,) = locate_shell(text, mask=mask_just)
    assert (one.kind, one.state) == (ReferenceKind.INIT_FLAGS, "a")


@pytest.mark.parametrize(
    "text",
    [
        "tofu init -backend=false\n",
        "tofu init -backend-config=bucket=x -backend-config=key=y\n",
        "tofu init -backend-config=attic-dev.s3.tfbackend\n",
        "git init\n",
        'curl --header "PRIVATE-TOKEN: $T" https://g/api/v4/runners/all\n',
        "npm init -y && tofu plan\n",
    ],
)
def test_lookalikes_are_left_alone(text: str) -> None:
    assert locate_shell(text) == ()


def test_an_init_that_nothing_in_sight_tells_its_state_is_reported() -> None:
    (init,) = locate_shell("tofu init\n")
    assert (init.kind, init.disposition) == (ReferenceKind.BARE_INIT, Disposition.REPORT)


def test_what_is_set_for_one_command_says_nothing_about_others() -> None:
    address = "https://g/api/v4/projects/1/terraform/state"
    text = f"(cd a && TF_HTTP_ADDRESS={address}/a tofu init)\n(cd b && tofu init)\n"
    inits = [one for one in locate_shell(text) if one.kind is ReferenceKind.BARE_INIT]
    assert [(one.state, one.disposition) for one in inits] == [("a", Disposition.REWRITE), (None, Disposition.REPORT)]


def test_flags_that_several_statements_collect_are_reported() -> None:
    text = 'args=(-backend-config="address=https://g/terraform/state/a")\nargs+=(-backend-config=username=x)\ntofu init "${args[@]}"\n'
    assert {one.disposition for one in locate_shell(text)} == {Disposition.REPORT}
    assert len(locate_shell(text)) == 2


def test_bare_init_needs_a_state_from_outside_or_an_export() -> None:
    (one,) = locate_shell("tofu init\n", inherited_state="${TF_STATE_NAME}")
    assert (one.kind, one.state) == (ReferenceKind.BARE_INIT, "${TF_STATE_NAME}")
    export, init = locate_shell("export TF_HTTP_ADDRESS=$A/terraform/state/$N\ntofu init\n")
    assert (export.kind, init.kind, init.state) == (ReferenceKind.ENVIRONMENT_EXPORT, ReferenceKind.BARE_INIT, "${N}")


def test_two_addresses_leave_the_state_open() -> None:
    text = "export TF_HTTP_ADDRESS=$A/terraform/state/a\nexport TF_HTTP_ADDRESS=$A/terraform/state/b\ntofu init\n"
    assert locate_shell(text)[-1].disposition is Disposition.REPORT


def test_an_export_that_a_reported_command_reads_stays() -> None:
    text = 'set -u\nexport TF_HTTP_PASSWORD="$T"\ncurl -u "x:${TF_HTTP_PASSWORD}" https://g/terraform/state/a\n'
    assert {one.disposition for one in locate_shell(text)} == {Disposition.REPORT}


def test_variables_from_outside_are_resolved() -> None:
    text = 'tofu init -backend-config="address=${TF_ADDRESS}"\n'
    (one,) = locate_shell(text, addresses={"TF_ADDRESS": "https://g/terraform/state/attic-$ENVIRONMENT"})
    assert one.state == "attic-${ENVIRONMENT}"


def test_expressions_of_workflows_are_kept_whole() -> None:
    text = 'tofu init -backend-config="address=https://g/terraform/state/arc-${{ inputs.environment }}"\n'
    (one,) = locate_shell(text, mask=mask_expressions)
    assert one.state == "arc-${{ inputs.environment }}"


def test_a_region_with_a_heredoc_at_its_base_indentation() -> None:
    text = "job:\n  script:\n    - |\n      if x; then\n          cat <<'E'\n      tofu init ✓\n      E\n      fi\n      tofu init\n"
    region = Span(text.index("      if"), len(text))
    (one,) = locate_shell(text, region=region, indent=6, inherited_state="a")
    assert one.span == Span(text.rindex("init"), text.rindex("init") + 4)


def test_references_outside_of_the_region_are_not_seen() -> None:
    text = "export TF_HTTP_USERNAME=x\necho hello\n"
    assert locate_shell(text, region=Span(text.index("echo"), len(text))) == ()


def test_hard_and_soft_checks() -> None:
    hard = 'if [ -z "$TF_HTTP_PASSWORD" ]; then\n  echo "TF_HTTP_PASSWORD is not set"\n  exit 1\nfi\n'
    soft = '[ -n "${TF_HTTP_PASSWORD:-}" ] || echo "TF_HTTP_PASSWORD is not set"\n'
    for text in (hard, soft):
        (one,) = locate_shell(text)
        assert (one.kind, one.span.of(text)) == (ReferenceKind.CREDENTIAL_CHECK, text.rstrip("\n"))


def test_a_test_that_asks_for_more_is_reported() -> None:
    (one,) = locate_shell('if [ -z "$TF_HTTP_PASSWORD" ] && [ -z "$TF_HTTP_ADDRESS" ]; then echo no; fi\n')
    assert one.disposition is Disposition.REPORT


def test_unlock_by_two_clients_is_one_reference() -> None:
    text = "glab api -X DELETE projects/1/terraform/state/$1/lock 2>/dev/null || curl -X DELETE $A/terraform/state/$1/lock\n"
    (one,) = locate_shell(text)
    assert (one.kind, one.span.of(text)) == (ReferenceKind.STATE_UNLOCK, text.rstrip("\n"))


def test_list_used_as_data_is_reported() -> None:
    (one,) = locate_shell('for s in $(curl $A/terraform/state | jq -r ".[].name"); do echo "$s"; done\n')
    assert one.disposition is Disposition.REPORT


@pytest.mark.parametrize(
    "text",
    [
        'S="-backend-config=address=$A/terraform/state/a"\n',
        "eval \"$(grep '^TF_HTTP' .env)\"\n",
        "tofu init -backend-config=backend.local.hcl\n",
        "tofu init -backend-config=password=$P\n",
        "tofu init -migrate-state -backend-config=address=$A/terraform/state/a\n",
        "tofu init -backend-config=address=$A/terraform/state/a -backend-config=bucket=b\n",
        "gitlab-tofu init\n",
        'export TF_HTTP_PASSWORD="$(pass gitlab)"\n',
        "read -r TF_HTTP_PASSWORD\n",
        "if [ -z $TF_HTTP_PASSWORD; then (\n",
    ],
)
def test_what_is_not_certain_is_reported(text: str) -> None:
    located = locate_shell(text)
    assert located
    assert {one.disposition for one in located} == {Disposition.REPORT}


PIECES = st.sampled_from(
    ["tofu init ", '-backend-config="address=$A/terraform/state/$N" ', "-backend-config=username=x ", "\\\n", "\n", "export ",
     "TF_HTTP_ADDRESS=$A/terraform/state/a", "TF_HTTP_PASSWORD=x", 'if [ -z "$TF_HTTP_PASSWORD" ]; then ', "fi", "echo ",
     '"${TF_HTTP_ADDRESS}"', "# TF_HTTP_PASSWORD\n", " && ", " || ", "curl -X DELETE $A/terraform/state/a/lock ", "<<E\n", "E\n",
     "'", '"', "(", ")", "{{x}}", "    ", "\r\n", "✓", "\x00", "; ", "| jq . ", "$("]
)  # fmt: skip


@given(st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=25), st.integers(0, 8), st.sampled_from([None, "s"]))
def test_any_text_is_located_and_what_is_rewritten_can_be_taken_back(
    pieces: list[str], indent: int, inherited: str | None
) -> None:
    text = "".join(pieces)
    check_references(text, locate_shell(text, indent=indent, mask=mask_just, inherited_state=inherited))


STATEMENTS = st.sampled_from(
    ["tofu init", 'tofu init -reconfigure -backend-config="address=$A/terraform/state/$N" -backend-config=username=x',
     'tofu init \\\n  -backend-config="address=$A/terraform/state/$N" \\\n  -backend-config="lock_method=POST"',
     'export TF_HTTP_ADDRESS="$A/terraform/state/foo-$E"', "export TF_HTTP_LOCK_METHOD=POST", "TF_HTTP_USERNAME=x",
     'export TF_HTTP_PASSWORD="$T" OTHER=1', "export TF_HTTP_PASSWORD=glpat-xxx", 'echo "TF_HTTP_PASSWORD is not set"',
     'echo "at ${TF_HTTP_ADDRESS}"', '[ -n "$TF_HTTP_PASSWORD" ]', 'curl -X DELETE "$A/terraform/state/$N/lock"',
     "glab api projects/1/terraform/states | jq . | sort", "TF_HTTP_USERNAME=a TF_HTTP_PASSWORD=b tofu init",
     "unset TF_HTTP_PASSWORD TF_HTTP_ADDRESS", 'ADDR="$A/terraform/state/$N"', ': "${TF_HTTP_PASSWORD:?need it}"',
     'tofu plan -var="x=$TF_HTTP_PASSWORD"', "# set TF_HTTP_PASSWORD\ntrue", "tofu plan"]
)  # fmt: skip
BODIES = st.sampled_from(
    ["{}", 'if [ -z "${{TF_HTTP_PASSWORD:-}}" ]; then\n  {}\n  exit 1\nfi', "for x in a b; do\n  {}\ndone", "f() {{\n  {}\n}}",
     "case $x in\n  a) {} ;;\n  b)\n    {}\n    ;;\nesac", "(\n  {}\n)", "if x; then\n  {}\nelse\n  {}\nfi",
     "while x; do {}; done", "{{ {}; }}", "x && {}", "{} || true", "{} && {}", "x=$({})", "if x; then {}; fi"]
)  # fmt: skip
TARGET = TargetCoordinates(
    endpoint="https://s3.example", bucket="b", region="r", key="{state}.tfstate", path_style=True, style="inline"
)


@given(st.lists(st.tuples(BODIES, st.lists(STATEMENTS, min_size=2, max_size=2)), max_size=4))
def test_a_rewritten_program_is_a_program_and_has_nothing_left(parts: Sequence[tuple[str, list[str]]]) -> None:
    text = "".join(body.format(*statements) + "\n" for body, statements in parts)
    if ShellSource(text, region=Span(0, len(text)), indent=0, mask=mask_nothing).root.has_error:
        return  # two lines in a place for one
    after = apply_edits(text, build_edits(locate_shell(text), text, TARGET))
    check_shell(text, after)
    assert [one for one in locate_shell(after) if one.disposition is Disposition.REWRITE] == []
