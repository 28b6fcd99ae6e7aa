"""Texts for hypothesis: arbitrary ones, and heaps of the lines that matter, in any order and depth."""

import contextlib

from hypothesis import strategies as st

from migrator.rewrite.reference import Disposition, Located, TargetCoordinates
from migrator.rewrite.replacements import CannotReplaceError, build_edit
from migrator.rewrite.spans import Edit, apply_edits, invert_edits

TARGET = TargetCoordinates(
    endpoint="https://s3.example",
    bucket="b",
    region="r",
    key="p/{state}/terraform.tfstate",
    path_style=True,
    style="inline",
)
ADDRESS = "https://gitlab.example.com/api/v4/projects/84/terraform/state/web-dev"
PIECES = (
    "variables:", "env:", "script:", "- |", "- >-", "job:", ".base: &a |", "  - *a", "<<: *a", "extends: .base", "# State is kept in GitLab.",
    f"TF_HTTP_ADDRESS: {ADDRESS}", "TF_HTTP_PASSWORD: ${{ secrets.X }}", 'TF_HTTP_LOCK_METHOD: "POST"', "TF_STATE_NAME: web-dev # é",
    f"export TF_HTTP_ADDRESS={ADDRESS}", 'export TF_HTTP_PASSWORD="$X"', "tofu init", "- tofu init", "- export TF_HTTP_USERNAME=x",
    f'tofu init -backend-config="address={ADDRESS}" \\', '-backend-config="lock_method=POST"', f'- "tofu init -backend-config=\\"address={ADDRESS}\\""',
    "cat <<'EOF'", "EOF", "```bash", "```", "~~~yaml", "~~~", "$ tofu init", "> ", "---", "| `TF_HTTP_PASSWORD` | GitLab token |", "| --- | --- |",
    "| Name | Meaning |", "The state is kept in GitLab. Set TF_HTTP_PASSWORD.", "OpenTofu", "HTTP state backend.", "\t", "", "jobs:", "steps:", "run: |",
    "- env:", "# runners:prod:", "#   script:", "#     - tofu init", "üñ✓", "if x; then", "fi", "'", '"', "{a: [b, {TF_HTTP_X: 1}]}", "// in GitLab state",
)  # fmt: skip
BREAKS = st.sampled_from(["\n", "\n", "\n", "\r\n"])
LINES = st.builds(
    lambda depth, piece, end: "  " * depth + piece + end, st.integers(0, 4), st.sampled_from(PIECES), BREAKS
)
TEXTS = st.one_of(st.text(max_size=120), st.lists(LINES, max_size=25).map("".join))


def check_references(text: str, found: tuple[Located, ...]) -> None:
    """Spans lie in the text, in order, without overlaps; edits apply and can be taken back."""
    position = 0
    for one in found:
        assert 0 <= one.span.start <= one.span.end <= len(text)
        assert one.span.start >= position
        assert one.reason
        position = one.span.end
    edits: list[Edit] = []
    for one in found:
        if one.disposition is Disposition.REWRITE:
            with contextlib.suppress(CannotReplaceError):  # a refusal with a reason is an answer
                edits.append(build_edit(one, text, TARGET))
    assert apply_edits(text, ()) == text
    assert apply_edits(apply_edits(text, edits), invert_edits(text, edits)) == text


# --- whole documents, that their parsers take


def join_lines(parts: list[str], end: str) -> str:
    return "\n".join(parts).replace("\n", end)


ENDS = st.sampled_from(["\n", "\n", "\r\n"])
BACKEND = (
    f'terraform {{\n  # State is kept in GitLab.\n  backend "http" {{\n    address        = "{ADDRESS}"\n'
    f'    lock_address   = "{ADDRESS}/lock" # é✓\n    lock_method    = "POST"\n  }}\n}}\n'
)
EMPTY_BACKEND = 'terraform {\n  required_version = ">= 1.6"\n  backend "http" {}\n}\n'
REMOTE_STATE = (
    f'data "terraform_remote_state" "net" {{\n  backend = "http"\n  config = {{\n    address = "{ADDRESS}"\n  }}\n}}\n'
)
HCL_BLOCKS = (
    BACKEND, EMPTY_BACKEND, 'resource "terraform_data" "ü" {\n  input = "{}"\n}\n',
    REMOTE_STATE,
    "# TF_HTTP_PASSWORD is a GitLab token.\n", "/* 状态 */\n", 'locals {\n  a = <<-EOT\n    backend "http" {}\n  EOT\n}\n', "\n",
)  # fmt: skip
RECIPES = (
    f'init-{{}}:\n    tofu init -reconfigure -backend-config="address={ADDRESS}" -backend-config="lock_method=POST"\n',
    "plan-{}: \n    @tofu plan # é\n", 'check-{}:\n    #!/usr/bin/env bash\n    if [ -z "$TF_HTTP_PASSWORD" ]; then\n      exit 1\n    fi\n',
    "export-{}:\n    export TF_HTTP_USERNAME=x && tofu init\n", "# The state of {} is in GitLab.\n",
)  # fmt: skip
JUST_DOCUMENTS = st.builds(
    lambda recipes, end: join_lines([recipe.replace("{}", f"r{number}") for number, recipe in enumerate(recipes)], end),
    st.lists(st.sampled_from(RECIPES), max_size=6),
    ENDS,
)
DOTENV_DOCUMENTS = st.builds(
    join_lines,
    st.lists(
        st.sampled_from(["TF_HTTP_PASSWORD=", f"TF_HTTP_ADDRESS={ADDRESS}", "# TF_HTTP_USERNAME=a", "ÜBER=1", "", "# State in GitLab"]),
        max_size=9,
    ),
    ENDS,
)  # fmt: skip


# --- pipelines that are YAML: every part may name the source

COMMANDS = (
    "tofu init", "tofu init -input=false", "tofu plan", "cd stacks/web", "tofu init -backend=false", 'echo "State: ${TF_HTTP_ADDRESS}"',
    'export TF_HTTP_ADDRESS="${CI_API_V4_URL}/projects/1/terraform/state/${TF_STATE_NAME}"', 'export TF_HTTP_PASSWORD="${CI_JOB_TOKEN}"',
    "export TF_HTTP_LOCK_METHOD=POST", f'tofu init -backend-config="address={ADDRESS}" -backend-config="lock_method=POST"',
)  # fmt: skip
BLOCKS = (
    f'tofu init -reconfigure \\\n  -backend-config="address={ADDRESS}" \\\n  -backend-config="unlock_method=DELETE"',
    "cat <<'EOF'\nTF is fine\nEOF", "if true; then\n    tofu init\nfi", "# GitLab state\nexport TF_HTTP_USERNAME=x\n\ntofu init",
)  # fmt: skip
VARIABLES = (
    "TF_HTTP_ADDRESS: ${CI_API_V4_URL}/projects/1/terraform/state/${TF_STATE_NAME}", 'TF_HTTP_PASSWORD: "${CI_JOB_TOKEN}" # token',
    "TF_HTTP_RETRY_MAX: '2'", "TF_STATE_NAME: web-dev", "REGION: eu", "# the state in GitLab",
)  # fmt: skip


def _indent(text: str, depth: int) -> str:
    return "".join(f"{' ' * depth}{line}\n" if line else "\n" for line in text.split("\n"))


def _item(command: str, style: str) -> str:
    if style == "literal" or "\n" in command:
        return "    - |\n" + _indent(command, 6)
    quoted = {
        "plain": command,
        "single": "'" + command.replace("'", "''") + "'",
        "folded": ">-\n" + _indent(command, 6).rstrip("\n"),
    }
    double = '"' + command.replace("\\", "\\\\").replace('"', '\\"') + '"'
    # In a plain scalar ": " would begin a mapping.
    return f"    - {quoted.get(style, double) if style != 'plain' or ': ' not in command else double}\n"


ITEMS = st.builds(
    _item, st.sampled_from(COMMANDS + BLOCKS), st.sampled_from(["plain", "single", "double", "literal", "folded"])
)


@st.composite
def _jobs(draw: st.DrawFn, name: str) -> str:
    variables = draw(st.lists(st.sampled_from(VARIABLES), unique=True, max_size=6))
    real = any(not line.startswith("#") for line in variables)
    parts = [f"  extends: {draw(st.sampled_from(['.base', '.tools']))}\n"] if draw(st.booleans()) else []
    parts += ["  variables:\n" + "".join(f"    {line}\n" for line in variables)] if real else []
    parts.append("  script:\n" + "".join(draw(st.lists(ITEMS, min_size=1, max_size=5))))
    return f"{name}:\n" + "".join(draw(st.permutations(parts)))


PIPELINES = st.builds(
    lambda jobs, end: "\n".join(jobs).replace("\n", end),
    st.tuples(_jobs(".base"), _jobs(".tools"), _jobs("web:plan"), _jobs("web:apply")),
    st.sampled_from(["\n", "\n", "\r\n"]),
)
