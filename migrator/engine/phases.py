"""Phases of a run and the transitions between them, as data.

THE INVARIANT. At any instant at most one backend is unlocked and authoritative for a state.

    planned     the source is authoritative and unlocked
    captured    both locks are ours; the exact document is in a blob           -> nobody can write
    checked     the target holds the same bytes; the source is unchanged       -> nobody can write
    proven      OpenTofu plans the same against both                           -> nobody can write
    cut-over    every file names the target                                    -> nobody can write
    migrated    a rule protects the source where GitLab has rules; the
                target's lock is given back, the source's never is             -> only the target can be written

Backward, the order is the mirror image: the target is locked before anything else, then the source's rule is removed, and
the source's lock is given back last, after the target's object is gone. So both ends are closed at every step in between,
in both directions.
"""

from enum import StrEnum


class Phase(StrEnum):
    """How far a run is. Each is reached at a barrier: every step before it is done for every unit."""

    PLANNED = "planned"
    CAPTURED = "captured"
    CHECKED = "checked"
    PROVEN = "proven"
    CUT_OVER = "cut-over"
    MIGRATED = "migrated"
    ROLLED_BACK = "rolled-back"
    FINALIZED = "finalized"


class StepKind(StrEnum):
    """Every step that a run can take; the values stand in journals and never change."""

    LOCK_SOURCE = "lock_source"
    LOCK_TARGET = "lock_target"
    CAPTURE = "capture"
    PUBLISH = "publish"
    CHECK_TARGET = "check_target"
    PROVE = "prove"
    CUT_OVER_FILE = "cut_over_file"
    PROTECT_SOURCE = "protect_source"
    UNLOCK_TARGET = "unlock_target"
    CAPTURE_TARGET = "capture_target"
    CARRY_BACK = "carry_back"
    FINALIZE = "finalize"


# Forward: each stage ends at a barrier. Within a stage the steps of one unit run in this order, units in parallel.
FORWARD: tuple[tuple[Phase, tuple[StepKind, ...]], ...] = (
    (Phase.CAPTURED, (StepKind.LOCK_SOURCE, StepKind.LOCK_TARGET, StepKind.CAPTURE)),
    (Phase.CHECKED, (StepKind.PUBLISH, StepKind.CHECK_TARGET)),
    (Phase.PROVEN, (StepKind.PROVE,)),
    (Phase.CUT_OVER, (StepKind.CUT_OVER_FILE,)),
    (Phase.MIGRATED, (StepKind.PROTECT_SOURCE, StepKind.UNLOCK_TARGET)),
)

# Where --until may stop.
STOPS = (Phase.CHECKED, Phase.PROVEN, Phase.CUT_OVER)

# Nothing is written outside before this stage but locks: a refusal here gives them back and leaves no trace.
REVERSIBLE_STAGE = Phase.CAPTURED
