"""What others do at the servers and in the work tree: colleagues who apply, maintainers who force, people who edit and delete.

Each act looks first whether it makes sense; ``do`` returns what was done in a few words, or None. A *proper* writer takes the
lock, and goes where the files in the work tree lead; the others are who the seal and the guards are for.
"""

from dataclasses import dataclass

from migrator.backends.base import Released
from migrator.backends.lock_info import LockInfo
from migrator.errors import ForeignLockError, InvalidStateError
from migrator.state.snapshot import read_snapshot
from tests.stories.world import EDIT, OVER, THEIRS, StoryWorld
from tests.support.watcher import LOCK_SUFFIX
from tests.support.world import document

RIVAL = LockInfo(id=THEIRS, operation="OperationTypeApply", who="rival@there", created="2026-01-02T03:04:05Z")
DAMAGES = ("older", "forked", "unrelated", "garbage")


def build_next(world: StoryWorld, before: bytes | None) -> bytes:
    """The document after an apply: the next serial of the same lineage."""
    world.notes += 1
    if before is None:
        return document(1, lineage=f"born-{world.notes}")
    snapshot = read_snapshot(before)
    return document(snapshot.serial + 1, lineage=snapshot.lineage, note=world.notes)


@dataclass(frozen=True)
class LockAtSource:
    state: str

    def do(self, world: StoryWorld) -> str | None:
        row = world.gitlab.rows[self.state]
        if row.lock or row.is_protected:
            return None
        world.gitlab.acquire_lock(self.state, RIVAL)
        return f"an apply locks {self.state} at the source"


@dataclass(frozen=True)
class LockAtTarget:
    state: str

    def do(self, world: StoryWorld) -> str | None:
        try:
            if world.dead:
                return None
            world.s3.acquire_lock(world.state(self.state).key, RIVAL)
        except ForeignLockError:
            return None
        return f"an apply locks {self.state} at the target"


@dataclass(frozen=True)
class ApplyAtSource:
    """Begins an apply where nobody holds the lock, or ends one that was begun."""

    state: str

    def do(self, world: StoryWorld) -> str | None:
        row = world.gitlab.rows[self.state]
        if row.is_protected or (row.lock and row.lock.id != RIVAL.id):
            return None
        note_move(world, self.state)
        row.lock = None
        world.gitlab.write_past_lock(self.state, build_next(world, row.newest))
        return f"an apply writes serial {max(row.versions)} of {self.state} at the source"


@dataclass(frozen=True)
class ApplyAtTarget:
    """As ``ApplyAtSource``, where the files lead to the target."""

    state: str

    def do(self, world: StoryWorld) -> str | None:
        state = world.state(self.state)
        before, holder = world.s3.objects.get(state.key), world.s3.look(state.key).lock_id
        if world.dead or holder not in {None, RIVAL.id} or not is_cut_over(world) or (before is None and state.sha256):
            return None
        try:
            after = build_next(world, before)
        except InvalidStateError:
            return None
        world.s3.release_lock(state.key, RIVAL.id)
        world.s3.put(state.key, after)
        return f"an apply writes serial {read_snapshot(after).serial} of {self.state} at the target"


@dataclass(frozen=True)
class LetGo:
    """Whoever applies gives up, at both sides."""

    state: str

    def do(self, world: StoryWorld) -> str | None:
        row, there = world.gitlab.rows[self.state], world.s3.release_lock(world.state(self.state).key, RIVAL.id)
        held = row.lock is not None and row.lock.id == RIVAL.id
        row.lock = None if held else row.lock
        return f"the applies of {self.state} are given up" if held or there is Released.RELEASED else None


@dataclass(frozen=True)
class WritePastLock:
    """``tofu apply -lock=false`` at the source, which GitLab refuses while anybody holds the lock."""

    state: str

    def do(self, world: StoryWorld) -> str | None:
        after = build_next(world, world.gitlab.rows[self.state].newest)
        if not world.gitlab.write_past_lock(self.state, after):
            return f"an apply of {self.state} with -lock=false is refused by the source"
        note_move(world, self.state)
        return f"an apply with -lock=false writes serial {read_snapshot(after).serial} of {self.state} at the source"


@dataclass(frozen=True)
class ForceSource:
    state: str

    def do(self, world: StoryWorld) -> str | None:
        lock = world.gitlab.rows[self.state].lock
        if lock is None or not world.is_ours(lock.id):
            return None
        world.gitlab.force_unlock(self.state)
        world.lifted.add(("source", self.state))
        world.excused.add(self.state)
        return f"a maintainer forces {self.state} open at the source"


@dataclass(frozen=True)
class ForceTarget:
    state: str

    def do(self, world: StoryWorld) -> str | None:
        key = world.state(self.state).key
        if world.dead or not world.is_ours(world.s3.look(key).lock_id):
            return None
        world.s3.remove(key + LOCK_SUFFIX)
        world.lifted.add(("target", self.state))
        return f"somebody forces {self.state} open at the target"


@dataclass(frozen=True)
class EditFile:
    number: int

    def do(self, world: StoryWorld) -> str | None:
        path = world.plan.files[self.number].path
        if path in world.edits or world.effects.now.endswith(
            path
        ):  # between reading and replacing it nobody can see it
            return None
        world.edits[path] = before = world.read(path)
        (world.root / path).write_bytes((before or b"") + EDIT)
        return f"somebody edits {path}"


@dataclass(frozen=True)
class TakeBack:
    number: int

    def do(self, world: StoryWorld) -> str | None:
        path = world.plan.files[self.number].path
        if path not in world.edits:
            return None
        before = world.edits.pop(path)
        if before is None:
            (world.root / path).unlink()
        else:
            (world.root / path).write_bytes(before)
        return f"the edit of {path} is taken back"


@dataclass(frozen=True)
class DeleteObject:
    state: str

    def do(self, world: StoryWorld) -> str | None:
        key = world.state(self.state).key
        if world.dead or key not in world.s3.objects or not is_under_way(world):
            return None
        world.lost.setdefault(self.state, world.s3.objects[key])
        world.s3.remove(key)
        world.moved.add(self.state)
        return f"somebody deletes {self.state} at the target"


@dataclass(frozen=True)
class Overwrite:
    """Somebody copies another document to the target's key, past every lock."""

    state: str
    damage: str

    def do(self, world: StoryWorld) -> str | None:
        state = world.state(self.state)
        if world.dead or not is_under_way(world):
            return None
        before = world.s3.objects.get(state.key)
        lineage, serial = state.lineage or "l-none", state.serial or 0
        world.notes += 1
        data = {
            "older": document(max(serial - 1, 0), lineage=lineage, note=world.notes),
            "forked": document(serial, lineage=lineage, note=world.notes),
            "unrelated": document(serial + 5, lineage="l-other", note=world.notes),
            "garbage": b"garbage",
        }[self.damage]
        if before is not None:
            world.lost.setdefault(self.state, before)
        world.s3.put(state.key, data)
        world.moved.add(self.state)
        return f"somebody puts {self.damage} bytes at the target's key of {self.state}"


@dataclass(frozen=True)
class Protect:
    state: str
    level: str

    def do(self, world: StoryWorld) -> str | None:
        made = world.gitlab.protect(self.state, self.level, "anywhere")
        return f"somebody makes a rule of level {self.level} for {self.state}" if made else None


@dataclass(frozen=True)
class Unprotect:
    state: str

    def do(self, world: StoryWorld) -> str | None:
        if world.gitlab.rows[self.state].rule is None:
            return None
        world.gitlab.remove_rule(self.state)
        return f"somebody removes the rule of {self.state}"


@dataclass(frozen=True)
class ChangeRule:
    state: str

    def do(self, world: StoryWorld) -> str | None:
        if world.gitlab.rows[self.state].rule is None:
            return None
        world.gitlab.change_rule(self.state, "maintainer")
        return f"somebody changes the rule of {self.state}"


@dataclass(frozen=True)
class TargetDies:
    def do(self, world: StoryWorld) -> str | None:
        if world.dead:
            return None
        world.dead = True
        return "the target dies"


@dataclass(frozen=True)
class TargetReturns:
    def do(self, world: StoryWorld) -> str | None:
        if not world.dead:
            return None
        world.dead = False
        return "the target answers again"


def note_move(world: StoryWorld, name: str) -> None:
    """A document at the source while a run is under way was not to be written there."""
    if is_under_way(world):
        world.moved.add(name)


def is_under_way(world: StoryWorld) -> bool:
    view = world.view
    return bool(view.steps) and view.outcome not in OVER


def is_cut_over(world: StoryWorld) -> bool:
    """Whether any file leads to the target: then colleagues may go there."""
    before = {file.path: file.pre_sha256 for file in world.plan.files}
    return any(world.digest_at(path) != digest for path, digest in before.items() if path not in world.edits)
