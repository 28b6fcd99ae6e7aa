"""Texts for hypothesis: arbitrary ones, and heaps of the lines that matter, in any order and depth."""

import contextlib
from itertools import pairwise

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
    after = apply_edits(text, edits)
    # Where one edit begins at the end of another, the way back has two edits at one place: no law covers those.
    if all(one.span.end < other.span.start for one, other in pairwise(edits)):
        assert apply_edits(after, invert_edits(text, edits)) == text
