"""Every direction of the matrix: what is killed, what it starts from, and what the opposite way must do then."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.cli.lab import document
from tests.crash.effects import Moment
from tests.crash.lab import PROJECT, CrashLab
from tests.crash.matrix import MIGRATE, ROLLBACK, Direction, Scene
from tests.crash.status import GONE_BACK
from tests.support.s3_servers import S3Server

NEWER = document(9)
# After each effect, and in the middle of each write: before an effect is after the one before.
LESS = (Moment.TORN, Moment.UNSEEN)
FIRST, SECOND = "first-machine", "second-machine"


def build(directory: Path, server: S3Server) -> CrashLab:
    """One state, one stack, the default plan; the seal is lock and protection rule."""
    lab = CrashLab(directory, server)
    lab.plan()
    return lab


def build_phantom(directory: Path, server: S3Server) -> CrashLab:
    """A state that was never written, in a GitLab without protection rules."""
    rows = [{"project": PROJECT, "name": "alpha-dev", "versions": []}]
    lab = CrashLab(directory, server, {}, rules=False, rows=rows)
    lab.plan()
    return lab


def build_rewritten(directory: Path, server: S3Server) -> CrashLab:
    """Somebody has put another document under the serial that the plan saw, which only a reading under both locks finds out."""
    lab = build(directory, server)
    lab.gitlab.store.remove_version(PROJECT, "alpha-dev", 7)
    lab.gitlab.store.write_version(PROJECT, "alpha-dev", serial=7, content=document(7, outputs={"other": {"value": 1}}))
    return lab


def build_adopted(directory: Path, server: S3Server) -> CrashLab:
    """The target holds the very bytes already, from before the plan."""
    lab = CrashLab(directory, server)
    lab.plan()
    lab.put(lab.key(), document(7))
    lab.plan()
    assert lab.planned.states[0].adopted
    return lab


def migrate(*more: str) -> Callable[[CrashLab], None]:
    def prepare(lab: CrashLab) -> None:
        done = lab.run(*MIGRATE, *more)
        assert done.code == 0, done.err

    return prepare


def migrate_and_move_on(lab: CrashLab) -> None:
    """Somebody applies at the target, as OpenTofu does."""
    migrate()(lab)
    lab.put(lab.key(), NEWER)


def move_on_and_lose_the_machine(lab: CrashLab) -> None:
    """The machine that migrated is away: what follows happens in a fresh clone of the committed cut-over."""
    migrate_and_move_on(lab)
    leave_machine(lab, FIRST)
    lab.other_journals = sorted((lab.directory / FIRST).glob("runs/*/journal.jsonl"))


def migrate_and_lose_the_target(lab: CrashLab) -> None:
    migrate()(lab)
    lab.target_is_dead = True


def leave_machine(lab: CrashLab, name: str) -> None:
    (lab.repo / ".migrator").rename(lab.directory / name)


def turn_back(scene: Scene) -> str:
    """``rollback`` makes everything as it was before the migration, or says that there is nothing to roll back."""
    lab = scene.lab
    begun, phase = lab.has_begun(), lab.phase()
    scene.run(*ROLLBACK, code=0 if begun else 2)
    if begun and phase not in GONE_BACK:
        phase = "rolled-back"
    scene.check_end("rollback", scene.planned, phase=phase)
    return "rolled back" if begun else "not begun"


def turn_forward(scene: Scene) -> str:
    """``migrate`` is refused while the way back is taken; before that it goes forward, and after it begins anew."""
    lab = scene.lab
    point, phase = lab.keep(), lab.phase()
    if phase == "rolling-back":
        scene.run(*MIGRATE, code=4)
        assert lab.keep() == point, "a refused migrate changed something"
        return "refused"
    moved_on = scene.planned.versions != scene.end.versions
    if phase == "rolled-back" and moved_on:
        scene.run(*MIGRATE, code=3)  # the plan saw an older serial
        assert lab.see() == scene.end, "a stale plan changed something"
        return "stale"
    scene.run(*MIGRATE)
    scene.run("verify")
    assert lab.phase() == "migrated"
    scene.run(*ROLLBACK)
    scene.check_end("migrate, then rollback", scene.end, phase="rolled-back")
    return "migrated"


def give_up(scene: Scene) -> str:
    """``migrate`` is refused again; where it was giving its locks back, it says so, and ``rollback`` ends that."""
    giving_back = scene.lab.phase() == "rolling-back"
    scene.run(*MIGRATE, code=4 if giving_back else 3)
    if giving_back:
        scene.run(*ROLLBACK)
    scene.check_end("again", scene.end, phase="rolled-back" if giving_back else "refused")
    return "rolled back" if giving_back else "refused"


def turn_to_the_first_machine(scene: Scene) -> str:
    """The second machine died for good; the first one comes back, and ends what the second began."""
    lab = scene.lab
    shutil.rmtree(lab.directory / SECOND, ignore_errors=True)
    if (lab.repo / ".migrator").exists():
        leave_machine(lab, SECOND)
    journals, lab.other_journals = lab.other_journals, sorted((lab.directory / SECOND).glob("runs/*/journal.jsonl"))
    try:
        shutil.copytree(lab.directory / FIRST, lab.repo / ".migrator")
        done = lab.run(*ROLLBACK)
        assert done.code in (0, 4), done.err
        if done.code == 4:
            assert "--take-over" in done.told["next"], done.err
            scene.run(*ROLLBACK, "--take-over")
        scene.check_end("the first machine's rollback", scene.end, phase="rolled-back")
    finally:
        lab.other_journals = journals
    return "taken over" if done.code == 4 else "rolled back"


def turn_when_the_target_is_back(scene: Scene) -> str:
    """The target answers again: the ordinary way back ends what was begun without it, and closes what it left open there."""
    lab = scene.lab
    lab.target_is_dead = False
    scene.run(*ROLLBACK)
    scene.check_end("rollback with the target", scene.planned, phase="rolled-back")
    return "rolled back"


def turn_from_final(scene: Scene) -> str:
    """``rollback`` works until the run is final, and is refused from then on."""
    if scene.lab.phase() == "finalized":
        scene.run(*ROLLBACK, code=4)
        assert scene.lab.see() == scene.end, "a refused rollback changed something"
        return "refused"
    return turn_back(scene)


def always(*command: str) -> Callable[[CrashLab], tuple[str, ...]]:
    return lambda lab: command


def nothing(lab: CrashLab) -> None:
    """Start from the plan."""


DIRECTIONS = {
    direction.name: direction
    for direction in (
        Direction(name="migrate", command=always(*MIGRATE), build=build, prepare=nothing, turn=turn_back),
        Direction(
            name="rollback of checked",
            command=always(*ROLLBACK),
            build=build,
            prepare=migrate("--until", "checked"),
            turn=turn_forward,
        ),
        Direction(
            name="rollback of migrated", command=always(*ROLLBACK), build=build, prepare=migrate(), turn=turn_forward
        ),
        Direction(
            name="rollback with carry-back",
            command=always(*ROLLBACK),
            build=build,
            prepare=migrate_and_move_on,
            turn=turn_forward,
        ),
        Direction(
            name="rollback from another machine",
            command=always(*ROLLBACK),
            build=build,
            prepare=move_on_and_lose_the_machine,
            turn=turn_to_the_first_machine,
            moments=LESS,
        ),
        Direction(
            name="rollback without the target",
            command=always(*ROLLBACK, "--without-target"),
            build=build,
            prepare=migrate_and_lose_the_target,
            turn=turn_when_the_target_is_back,
        ),
        Direction(
            name="finalize",
            command=lambda lab: ("finalize", "--confirm", lab.bucket),
            build=build,
            prepare=migrate(),
            turn=turn_from_final,
        ),
        Direction(
            name="migrate nothing",
            command=always(*MIGRATE),
            build=build_phantom,
            prepare=nothing,
            turn=turn_back,
            moments=LESS,
        ),
        Direction(
            name="migrate adopted",
            command=always(*MIGRATE),
            build=build_adopted,
            prepare=nothing,
            turn=turn_back,
            moments=LESS,
        ),
        Direction(
            name="refused migrate",
            command=always(*MIGRATE),
            build=build_rewritten,
            prepare=nothing,
            turn=turn_back,
            again=give_up,
            moments=LESS,
            code=3,
        ),
    )
}
