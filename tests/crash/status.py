"""Whatever ``status`` says is so; and it says it offline, from the disk alone, changing nothing. Where there is no run here it
asks the bucket, and reads only.
"""

from collections.abc import Mapping
from typing import Any

from migrator.journal.home import Home
from migrator.journal.log import read_log
from tests.crash.effects import Effects
from tests.crash.lab import PROJECT, CrashLab, Truth
from tests.support.told import Facts, check_told
from tests.support.watcher import StandinSource, digest

# A run whose last barrier is reached is migrated, but for its last record: running it again writes that.
NEXT = {
    "rolling-back": ("migrator rollback",),
    "rolled-back": ("migrator plan", "migrator rollback, as soon as the target answers again"),
    "refused": ("migrator plan",),
    "migrated": ("migrator verify", "migrator migrate"),
    "finalized": ("nothing",),
}
GONE_BACK = ("rolled-back", "refused")
MOVED = ("migrated", "finalized")


def check_status(lab: CrashLab, *, planned: Truth, begun: Truth) -> None:
    """Compare what ``status`` says with the truth.

    ``planned`` is how everything was before the migration, ``begun`` how it was before the command that was killed.

    Raises: AssertionError.
    """
    effects = Effects(lab)
    with effects.installed():
        done = lab.run("status", "--json")
    asked = (
        effects.names if Home(lab.repo).runs() else [one for one in effects.names if not one.startswith("GET target")]
    )
    assert asked == [], f"status is not offline: {asked}"
    truth = lab.see()
    if done.code != 0:
        # Nothing had begun: there is no run, and it must say so and how to begin.
        assert not any(read_log(run / "journal.jsonl") for run in lab.runs()), done.err
        assert done.code == 2, done.err
        assert "migrator migrate" in done.told["next"], done.err
        assert truth == begun, "there is no run here, and something was changed"
        return
    status = done.document
    check_told(status, build_facts(lab, truth))
    assert status["next_command"].startswith(NEXT.get(status["phase"], ("migrator migrate",))), status
    _check_phase(lab, status, truth, planned)


def build_facts(lab: CrashLab, truth: Truth) -> Facts:
    return Facts(
        plan=lab.planned,
        source=StandinSource(lab.gitlab, PROJECT),
        target=lab.store,
        own_ids=lab.own_ids(),
        files={path: data for path, (_, data) in truth.files.items()},
    )


def _check_phase(lab: CrashLab, status: Mapping[str, Any], truth: Truth, planned: Truth) -> None:
    phase = status["phase"]
    if phase in ("planned", "captured", *GONE_BACK):
        assert truth.files == planned.files, f"files were changed: {status}"
    if phase in ("planned", *GONE_BACK):
        assert truth.objects == planned.objects, f"the target was written: {status}"
    if phase in GONE_BACK:
        for name in ("source_locks", "target_locks", "protected"):
            assert getattr(truth, name) == getattr(planned, name), f"{name} are left: {status}"
    if phase in MOVED:
        assert truth.source_locks == {state.name for state in lab.planned.states}, f"a source is not sealed: {status}"
        assert not truth.target_locks, f"a target is locked: {status}"
        assert all(digest(truth.files[file.path][1]) == file.post_sha256 for file in lab.planned.files), status
