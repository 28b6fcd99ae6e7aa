import pytest

from migrator.rewrite.checks import ResultCheckError
from migrator.rewrite.checks_yaml import check_yaml

BEFORE = """\
.base:
  variables:
    TF_HTTP_ADDRESS: x/terraform/state/a
    OTHER: "1"
job:
  extends: .base
  needs: [build]
  rules:
    - if: $A == "b"
  script:
    - &init tofu init
    - export TF_HTTP_USERNAME=x
    - tofu plan
  artifacts: { paths: [plan] }
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    TF_HTTP_ADDRESS: x/terraform/state/a\n", ""),
        ("    TF_HTTP_ADDRESS: x/terraform/state/a\n", "    AWS_ACCESS_KEY_ID: x\n    # a comment\n"),
        ("tofu init\n", "tofu init -reconfigure -backend-config=key=a\n"),
        ("    - export TF_HTTP_USERNAME=x\n", ""),
        ("", ""),
    ],
)
def test_what_is_meant_passes(old: str, new: str) -> None:
    check_yaml(BEFORE, BEFORE.replace(old, new) if old else BEFORE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("job:", "job2:"),
        ("extends: .base", "extends: .other"),
        ("[build]", "[build, x]"),
        ('"b"', '"c"'),
        ("tofu plan", "tofu apply"),
        ("    - tofu plan\n", ""),
        ("paths: [plan]", "paths: []"),
        ('OTHER: "1"', 'OTHER: "2"'),
        ('    OTHER: "1"\n', ""),
        ('OTHER: "1"', "OTHER: 1"),
        ("&init ", ""),
        ("tofu init", '"tofu init -x"'),
        ("  needs: [build]\n", ""),
        ("- &init tofu init\n    - export TF_HTTP_USERNAME=x\n", "- export TF_HTTP_USERNAME=x\n"),
        ("  script:", " script:"),
        ("job:", "job: ["),
    ],
)
def test_what_is_not_meant_is_refused(old: str, new: str) -> None:
    assert old in BEFORE
    with pytest.raises(ResultCheckError):
        check_yaml(BEFORE, BEFORE.replace(old, new))


def test_an_emptied_mapping_may_go_and_an_anchored_one_may_not() -> None:
    check_yaml("a:\n  b: 1\n  variables:\n    TF_HTTP_X: 1\n", "a:\n  b: 1\n")
    check_yaml("a:\n  variables:\n    TF_HTTP_X: 1\n", "a:\n  variables: {}\n")
    with pytest.raises(ResultCheckError):
        check_yaml("a:\n  b: 1\n  variables: &v\n    TF_HTTP_X: 1\n", "a:\n  b: 1\n")


def test_keys_keep_their_order() -> None:
    with pytest.raises(ResultCheckError):
        check_yaml("a: 1\nb: 2\n", "b: 2\na: 1\n")
