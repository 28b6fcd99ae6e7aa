import subprocess
import sys
from pathlib import Path

import pytest

from migrator.errors import ConfigurationError
from migrator.inventory.tree import discover_root, discover_tree, read_repository_identity
from tests.support.programs import OUR_CODE, SEARCH_PATH


def git(directory: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "-C", str(directory), *identity, *arguments], check=True, capture_output=True)


def test_the_top_of_everything_is_no_repository():
    with pytest.raises(ConfigurationError, match="no repository"):
        discover_tree(Path("/"))


def test_a_file_is_no_directory(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="not a directory"):
        discover_tree(tmp_path / "file")


def test_tracked_and_new_files_belong_to_it_and_ignored_ones_do_not(tmp_path: Path):
    git(tmp_path, "init", "-q")
    for name in ("tracked.tf", "new.tf", "ignored.tf", "grün 日本.tf"):
        (tmp_path / name).write_text(name)
    (tmp_path / ".gitignore").write_text("ignored.tf\n.terraform/\n")
    (tmp_path / ".migrator").mkdir()
    (tmp_path / ".migrator" / "plan.json").write_text("{}")
    git(tmp_path, "add", "tracked.tf")
    assert discover_tree(tmp_path).paths == (".gitignore", "grün 日本.tf", "new.tf", "tracked.tf")


def test_a_deleted_file_and_a_link_are_no_files(tmp_path: Path):
    git(tmp_path, "init", "-q")
    (tmp_path / "gone.tf").write_text("")
    (tmp_path / "link.tf").symlink_to("gone.tf")
    git(tmp_path, "add", ".")
    (tmp_path / "gone.tf").unlink()
    assert discover_tree(tmp_path).paths == ()


def test_clones_share_an_identity_and_others_do_not(tmp_path: Path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        git(tmp_path / name, "init", "-q")
        git(tmp_path / name, "commit", "-q", "--allow-empty", "-m", name)
    git(tmp_path, "clone", "-q", "one", "clone")
    one, other, clone = (read_repository_identity(tmp_path / name) for name in ("one", "other", "clone"))
    assert one == clone != other
    assert read_repository_identity(tmp_path) is None


def test_a_subdirectory_leads_to_the_top_and_outside_of_git_to_itself(tmp_path: Path):
    (tmp_path / "repository" / "stacks").mkdir(parents=True)
    git(tmp_path / "repository", "init", "-q")
    assert discover_root(tmp_path / "repository" / "stacks") == tmp_path / "repository"
    assert discover_root(tmp_path) == tmp_path


def test_outside_of_git_no_other_file_system_is_entered(tmp_path: Path):
    (tmp_path / "main.tf").write_text("")
    (tmp_path / "mounted").mkdir()
    code = (
        "from pathlib import Path\nfrom migrator.inventory.tree import discover_tree\n"
        f"print(discover_tree(Path({str(tmp_path)!r})).paths)"
    )
    script = f'mount -t tmpfs none "{tmp_path}/mounted" && : > "{tmp_path}/mounted/far.tf" && exec "$0" -c "$1"'
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, sys.executable, code]
    environment = {**OUR_CODE, "PATH": SEARCH_PATH}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.stdout == "('main.tf',)\n", done.stderr
