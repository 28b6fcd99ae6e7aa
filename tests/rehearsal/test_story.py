"""The parts of the story that decide: what fails it, what is compared, how much of an output is shown, which settings."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.cli.rehearse import build_connect
from migrator.errors import CheckFailedError, ConfigurationError
from migrator.inventory.discover import discover_inventory
from migrator.inventory.tree import discover_tree
from migrator.rehearsal import story
from migrator.rehearsal.checkout import compare_fingerprints, copy_repository, read_fingerprint
from migrator.rehearsal.embedded import Credentials, Embedded
from migrator.rehearsal.estate import sample_root
from migrator.rehearsal.model import Outcome, Proof, Transcript
from migrator.rehearsal.narrate import build_transcript_lines, shorten_sections
from migrator.rehearsal.scenes import SCENES, Scene
from migrator.rehearsal.settings import build_rehearsal_settings, encode_settings
from migrator.rehearsal.stage import Stage, build_failure
from migrator.rehearsal.story import Request, rehearse
from migrator.rehearsal.wanted import build_wanted_states
from migrator.rehearsal.words import WORDS, Words
from migrator.settings import Binding, Settings, parse_settings, read_settings
from tests.rehearsal.repositories import commit, git, read_everything, write_stack

EMBEDDED = Embedded(
    source_url="http://127.0.0.1:1",
    project_id=7,
    project_path="acme/net",
    target_url="http://127.0.0.1:2",
    bucket="states",
    credentials=Credentials(),
)


class Silence:
    """Hears the story and says nothing."""

    def __init__(self) -> None:
        self.shown: list[Transcript] = []

    def begin(self, name: str) -> None: ...

    def show(self, transcript: Transcript) -> None:
        self.shown.append(transcript)

    def end(self, proof: Proof) -> None: ...


# --- what fails a rehearsal: something goes wrong between two scenes, and the comparison sees it ---------------------


def edit_a_file(stage: Stage) -> None:
    (stage.copy / "run.sh").write_text("#!/bin/sh\necho edited\n")


def change_a_mode(stage: Stage) -> None:
    (stage.copy / "run.sh").chmod(0o644)


def leave_a_file(stage: Stage) -> None:
    (stage.copy / "infra" / "left.tf").write_text("\n")


def remove_a_link(stage: Stage) -> None:
    (stage.copy / "link").unlink()


def leave_an_object(stage: Stage) -> None:
    stage.target.create_state("somewhere/else", b"{}")


def leave_a_lock(stage: Stage) -> None:
    from migrator.backends.lock_info import LockInfo

    stage.source.acquire_lock(
        "dns-dev", LockInfo(id="1d3c7e54-7b6f-4b7c-93b6-4bb7b2a50b6b", created="2026-01-01T00:00:00Z")
    )


def write_past_the_seal(stage: Stage) -> None:
    from migrator.backends.lock_info import LockInfo

    lock = "1d3c7e54-7b6f-4b7c-93b6-4bb7b2a50b6b"
    stage.source.acquire_lock("dns-dev", LockInfo(id=lock, created="2026-01-01T00:00:00Z"))
    text = b'{"version": 4, "serial": 9, "lineage": "lineage-of-dns-dev", "resources": []}'
    stage.source.write_state("dns-dev", text, serial=9, lock_id=lock)
    stage.source.release_lock("dns-dev", lock)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "after", "failed"),
    [
        (edit_a_file, "rollback", "files-restored"),
        (change_a_mode, "rollback", "files-restored"),
        (leave_a_file, "rollback", "files-restored"),
        (remove_a_link, "rollback", "files-restored"),
        (leave_an_object, "rollback", "target-emptied"),
        (leave_a_lock, "rollback", "states-restored"),
        (write_past_the_seal, "rollback", "states-restored"),
        (edit_a_file, "migrate", "references"),
        (leave_an_object, "inventory", "plan"),
    ],
)
def test_whatever_does_not_come_back_fails_the_rehearsal(
    repository: Path,
    fixtures: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    damage: Callable[[Stage], None],
    after: str,
    failed: str,
) -> None:
    def damaging(scene: Scene) -> Scene:
        def play(stage: Stage) -> str:
            detail = scene.play(stage)
            damage(stage)
            return detail

        return Scene(scene.name, play, scene.needs) if scene.name == after else scene

    monkeypatch.setattr(story, "SCENES", [damaging(scene) for scene in SCENES])
    request = Request(root=repository, config=repository / "migrator.toml", fixtures=fixtures)
    result = rehearse(request, build_connect(), Silence())
    assert failed in {proof.name for proof in result.with_outcome(Outcome.FAILED)}
    assert result.exit_code == 3


@pytest.mark.slow
def test_what_people_decide_is_counted_and_nothing_else_is_claimed(repository: Path, fixtures: Path) -> None:
    (repository / ".gitlab-ci.yml").write_text("plan:\n  script:\n    - cd infra/dns\n    - gitlab-terraform init\n")
    request = Request(root=repository, config=repository / "migrator.toml", fixtures=fixtures)
    result = rehearse(request, build_connect(), Silence())
    assert result.exit_code == 0
    (detail,) = [proof.detail for proof in result.proofs if proof.name == "references"]
    assert detail == "3 files cut over, no reference that can be rewritten is left; 1 place for a person to decide"


@pytest.mark.slow
def test_addresses_of_two_projects_do_not_pass_a_rehearsal(repository: Path, fixtures: Path) -> None:
    backend = repository / "infra" / "dns" / "backend.tf"
    address = "https://gitlab.example.com/api/v4/projects/8/terraform/state/dns-dev"
    backend.write_text(f'terraform {{\n  backend "http" {{\n    address = "{address}"\n  }}\n}}\n')
    request = Request(root=repository, config=repository / "migrator.toml", fixtures=fixtures)
    result = rehearse(request, build_connect(), Silence())
    assert [proof.name for proof in result.with_outcome(Outcome.FAILED)] == ["plan"]
    assert any("foreign-project: infra/dns/backend.tf:2-4" in proof.detail for proof in result.proofs)


@pytest.mark.slow
def test_a_failed_scene_leaves_out_what_follows_from_it_and_still_compares(
    repository: Path, fixtures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_stage: Stage) -> str:
        raise CheckFailedError("it did not work", where="here", hint="try again")

    scenes = [Scene(scene.name, fail, scene.needs) if scene.name == "change" else scene for scene in SCENES]
    monkeypatch.setattr(story, "SCENES", scenes)
    request = Request(root=repository, config=repository / "migrator.toml", fixtures=fixtures)
    result = rehearse(request, build_connect(), Silence())
    found = {proof.name: proof for proof in result.proofs}
    assert (found["change"].outcome, found["change"].detail) == (Outcome.FAILED, "it did not work: here")
    assert found["change"].hint == "try again"
    assert found["plan-at-source"].outcome is Outcome.LEFT_OUT
    assert {found[name].outcome for name in ("rollback", "files-restored", "states-restored", "target-emptied")} == {
        Outcome.MADE
    }
    assert result.exit_code == 3


def test_every_scene_has_words_and_needs_only_what_came_before() -> None:
    before: set[str] = set()
    for scene in SCENES:
        assert scene.name in WORDS
        assert set(scene.needs) <= before
        before.add(scene.name)


# --- copies -----------------------------------------------------------------------------------------------------------


def test_a_copy_is_the_work_tree_with_its_history_and_no_way_back(repository: Path, tmp_path: Path) -> None:
    before = read_everything(repository)
    copy_repository(repository, tmp_path / "copy")
    assert read_everything(repository) == before
    copied, original = read_fingerprint(tmp_path / "copy"), read_fingerprint(repository)
    assert compare_fingerprints(original, copied) == ()
    assert copied.status == original.status == " M run.sh\0"
    assert "infra/dns/dev.tfvars" in copied.files
    assert copied.files["link"] == "link to run.sh"
    assert git(tmp_path / "copy", "rev-parse", "HEAD") == git(repository, "rev-parse", "HEAD")
    assert git(tmp_path / "copy", "remote") == ""
    inodes = {path.stat().st_ino for path in (repository / ".git").rglob("*") if path.is_file()}
    assert not inodes & {path.stat().st_ino for path in (tmp_path / "copy" / ".git").rglob("*") if path.is_file()}


def test_a_repository_without_a_commit_is_copied(tmp_path: Path) -> None:
    root = tmp_path / "fresh"
    write_stack(root, "network")
    git(root, "init", "--quiet")
    copy_repository(root, tmp_path / "copy")
    assert set(read_fingerprint(tmp_path / "copy").files) == {"infra/network/backend.tf", "infra/network/main.tf"}
    assert read_fingerprint(tmp_path / "copy").status == read_fingerprint(root).status


def test_a_copy_is_deaf_to_variables_of_git(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "elsewhere"))
    copy_repository(repository, tmp_path / "copy")
    assert not (tmp_path / "elsewhere").exists()
    assert "Justfile" in read_fingerprint(tmp_path / "copy").files


# --- which states, which settings -------------------------------------------------------------------------------------


def test_states_to_apply_come_from_bindings_then_from_the_files_then_from_the_stack(repository: Path) -> None:
    write_stack(repository, "plain")
    inventory = discover_inventory(discover_tree(repository))
    own = parse_settings(
        'format = "migrator.config/1"\n[source]\nurl = "https://g"\nproject = 7\n[target]\nendpoint = "https://s"\n'
        'bucket = "b"\n[[state]]\nname = "the-net"\nstack = "network"\nenvironment = "live"\n'
        '[[exclude]]\nstate = "plain-*"\nreason = "not now"\n',
        where="test",
        environment={},
    )
    has_file = (repository / "infra").joinpath

    def found(settings: Settings | None) -> dict[str, tuple[str, tuple[str, ...]]]:
        wanted = build_wanted_states(settings, inventory, has_file=lambda path: (repository / path).is_file())
        return {one.name: (one.stack, one.var_files) for one in wanted}

    assert has_file("dns", "dev.tfvars").is_file()
    assert found(None) == {
        "network-dev": ("network", ()),
        "dns-dev": ("dns", ("dev.tfvars",)),
        "plain-dev": ("plain", ()),
    }
    assert found(own) == {"the-net": ("network", ()), "dns-dev": ("dns", ("dev.tfvars",))}


def test_the_rehearsal_of_the_sample_settings_names_the_embedded_servers_only() -> None:
    own = read_settings(sample_root() / "fixtures" / "estate.toml", {})
    settings = build_rehearsal_settings(own, EMBEDDED, bindings=(), names=["attic-dev"], program=None)
    text = encode_settings(settings)
    assert "example" not in text
    assert parse_settings(text, where="test", environment={}) == settings
    assert [binding.name for binding in settings.state] == ["attic-dev"]
    assert (settings.source.url, settings.target.endpoint) == ("http://127.0.0.1:1", "http://127.0.0.1:2")
    assert settings.proof.plan == "off"
    assert settings.exclude == own.exclude


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


BINDINGS = st.builds(
    Binding, name=NAMES, stack=NAMES, environment=NAMES, var_files=st.lists(NAMES, max_size=2).map(tuple)
)


@given(st.lists(BINDINGS, unique_by=lambda binding: binding.name))
def test_settings_survive_being_written_whatever_names_they_hold(bindings: list[Binding]) -> None:
    names = [binding.name for binding in bindings]
    settings = build_rehearsal_settings(None, EMBEDDED, bindings=bindings, names=names, program="/opt/tofu")
    assert parse_settings(encode_settings(settings), where="test", environment={}) == settings


# --- how outputs are shown --------------------------------------------------------------------------------------------

OUTPUT = """\
Stacks (2)
  stack    states
  network  network-dev,
           network-prod
  dns      dns-dev

References (5)
  place  why
  a:1    flags
  b:2    flags
  c:3    flags
  d:4    flags
  e:5    flags

2 stacks, 5 references
"""


def test_long_sections_are_shortened_and_counted_where_they_were() -> None:
    lines = OUTPUT.splitlines()
    assert shorten_sections(lines, 3, "^Stacks") == [
        *lines[:6], "References (5)", "  place  why", "  a:1    flags", "  b:2    flags", "  … 3 more lines", "",
        "2 stacks, 5 references",
    ]  # fmt: skip


@given(st.lists(st.sampled_from(["", "head", "  entry", "     folded", "tail"])), st.integers(1, 5))
def test_shortening_accounts_for_every_line(lines: list[str], rows: int) -> None:
    shown = shorten_sections(lines, rows)
    counted = sum(int(line.split()[1]) for line in shown if "more line" in line)
    assert sum(bool(line) and "more line" not in line for line in shown) + counted == sum(map(bool, lines))


def test_no_line_of_a_transcript_is_wider_than_the_page() -> None:
    transcript = Transcript(typed="migrator " + "plan " * 40, exit_code=0, output="x" * 300 + "\n", seconds=1)
    lines = [line for text in build_transcript_lines(transcript, Words(title="")) for line in text.plain.splitlines()]
    assert max(map(len, lines)) <= 100
    assert " ".join(" ".join(lines[:-1]).replace("\\", "").split()) == "$ migrator " + " ".join(["plan"] * 40)


@pytest.mark.parametrize(
    ("output", "message", "hint"),
    [
        (
            "some text\nerror: it is refused\n  where: here\n  now:   nothing was touched\n  next:  migrator plan\n",
            "`migrator plan` ended with 4: it is refused (here)",
            "migrator plan",
        ),
        ("╷\n│ Error: no such thing\n│\n│ long story\n╵\n", "`migrator plan` ended with 4: no such thing", None),
        ("", "`migrator plan` ended with 4: no output", None),
    ],
)
def test_a_failed_command_is_told_in_its_own_words(output: str, message: str, hint: str | None) -> None:
    error = build_failure(Transcript(typed="migrator plan", exit_code=4, output=output, seconds=1))
    assert (error.message, error.hint) == (message, hint)


def test_a_rehearsal_needs_a_repository_that_can_be_copied(
    tmp_path: Path, fixtures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "damaged"
    write_stack(root, "network")
    commit(root)
    shutil.rmtree(root / ".git" / "objects")
    (root / ".git" / "objects").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "private"))
    with pytest.raises(ConfigurationError, match="the repository cannot be copied"):
        rehearse(Request(root=root, config=root / "migrator.toml", fixtures=fixtures), build_connect(), Silence())
    assert os.environ["TMPDIR"] == str(tmp_path / "private")
