"""Files that nobody wrote by hand: each is read or reported, none takes the inventory down or keeps it waiting."""

import os
from pathlib import Path

import pytest

from migrator.inventory.discover import discover_inventory
from migrator.inventory.tree import discover_tree
from tests.inventory.conftest import MakeTree

BACKEND = 'terraform {\n  backend "http" {}\n}\n'
ADDRESS = "https://gitlab.example.com/api/v4/projects/84/terraform/state/mail-dev"
LAUGHS = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 14))

FILES: dict[str, tuple[str, str | bytes, list[str]]] = {
    "a list of lists of lists": (
        ".gitlab-ci.yml",
        f"l0: &l0 [x]\n{LAUGHS}job:\n  script: *l13\n  variables: {{TF_HTTP_ADDRESS: x}}\n",
        ["17 environment-read report"],
    ),
    "latin-1": ("a.tf", ("# é\n" + BACKEND).encode("latin-1"), ["3 state-url report"]),
    "a byte order mark": ("a.tf", "\ufeff" + BACKEND, ["2 backend-block rewrite"]),
    "carriage returns": ("a.tf", BACKEND.replace("\n", "\r\n"), ["2 backend-block rewrite"]),
    "a block that does not end": ("a.tf", 'terraform {\n  backend "http" {\n', ["2 backend-block report"]),
    "brackets that do not end": ("a.yml", "TF_HTTP_ADDRESS: [\n", ["1 environment-read report"]),
    "a quote that does not end": (
        "a.sh",
        'if tofu init; then\n "TF_HTTP_ADDRESS',
        ["1 bare-init report", "2 environment-read report"],
    ),
    "a recipe that is none": ("Justfile", 'x\n  tofu init -backend-config="address=x\n', ["2 init-flags report"]),
    "brackets in brackets (HCL)": ("a.tf", f"{BACKEND}a = {'[' * 9000}{']' * 9000}\n", ["2 backend-block rewrite"]),
    "brackets in brackets (YAML)": ("a.yml", f"TF_HTTP_X: {'[' * 9000}{']' * 9000}\n", ["1 environment-read report"]),
    "subshells in subshells": ("a.sh", f"tofu init; {'(' * 4000}x{')' * 4000}\n", ["1 bare-init report"]),
    "a line of megabytes": ("a.txt", f"{ADDRESS} {'x' * 5_000_000}", ["1 state-url report"]),
    "bytes that are no text": ("a.bin", b"TF_HTTP_ADDRESS\0\0", []),
}


@pytest.mark.parametrize(("path", "content", "found"), FILES.values(), ids=FILES.keys())
def test_it_is_read_or_reported(make_tree: MakeTree, path: str, content: str | bytes, found: list[str]) -> None:
    inventory = discover_inventory(make_tree({f"stacks/mail/{path}": content, "stacks/mail/backend.tf": BACKEND}))
    told = [one for one in inventory.references if one.place.path.endswith(f"/{path}")]
    assert [f"{one.place.start_line} {one.kind} {one.disposition}" for one in told] == found


def test_what_is_no_file_is_none(tmp_path: Path, make_tree: MakeTree) -> None:
    make_tree({"stacks/mail/backend.tf": BACKEND})
    (tmp_path / "loop").symlink_to(".", target_is_directory=True)
    (tmp_path / "itself").symlink_to("itself")
    os.mkfifo(tmp_path / "pipe.sh")
    inventory = discover_inventory(discover_tree(tmp_path))
    assert [str(one.place) for one in inventory.references] == ["stacks/mail/backend.tf:2"]
