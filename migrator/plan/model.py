"""The plan and what it is made from. ``codec`` gives it bytes and a digest; ``build`` is the only place that decides.

A plan holds no secret: credentials are named by their environment variables, documents by their digests.
"""

from dataclasses import dataclass

from migrator.inventory.groups import CutOverGroup
from migrator.inventory.model import Place

FORMAT = "migrator.plan/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRepository:
    """Which repository the plan is for: ``identity`` is its first commit, ``revision`` the one that was read."""

    identity: str | None
    revision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSource:
    """The source, with the project's numeric id pinned."""

    url: str
    project_id: int
    project_path: str
    token_env: str
    username: str | None = None
    ca_bundle: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTarget:
    """The target, and the style in which files name it."""

    endpoint: str
    bucket: str
    region: str
    key: str
    path_style: bool
    style: str
    access_key_env: str
    secret_key_env: str
    session_token_env: str | None = None
    ca_bundle: str | None = None
    profile: str | None = None
    run_prefix: str = ""  # where the run is mirrored; "" in plans that know nothing of it, and where it was turned off


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedState:
    """One state to move: ``name`` at the source, ``key`` at the target.

    ``sha256`` is None when the source serves no document (the name exists, nothing was ever written): then only the
    authority moves. ``adopted`` says that the target held exactly these bytes before: never ours to delete.
    """

    name: str
    stack: str
    directory: str
    environment: str
    key: str
    serial: int | None
    lineage: str | None
    sha256: str | None
    size: int
    encrypted: bool
    resource_count: int | None
    adopted: bool = False
    var_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEdit:
    """Replace code points ``[start, end)`` of the file by ``text``; ``place`` and ``kind`` say what it is."""

    start: int
    end: int
    text: str
    kind: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """One file to cut over. ``pre_sha256`` is None when the file is created. ``stacks`` are those that it serves."""

    path: str
    pre_sha256: str | None
    post_sha256: str
    edits: tuple[PlannedEdit, ...]
    stacks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Something a person decides: where, what kind, why the tool does not."""

    place: Place
    kind: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A hazard or a blocker: a stable ``code``, where it stands (file:line, state, key), and what to do."""

    code: str
    where: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """A state of the source that the plan does not move, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A finding that the operator acknowledged in ``migrator.toml``, with his reason."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What probing the bucket said: ``verdict`` is ``safe`` or ``unsafe``; ``reasons`` explain it."""

    verdict: str
    reasons: tuple[str, ...]
    probed_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that ``migrate`` will do. Equal plans have equal digests."""

    created: str
    tool_version: str
    repository: PlannedRepository
    source: PlannedSource
    target: PlannedTarget
    tofu: str
    proof: str
    probe: ProbeResult
    states: tuple[PlannedState, ...]
    files: tuple[PlannedFile, ...]
    groups: tuple[CutOverGroup, ...]
    left_alone: tuple[LeftAlone, ...]
    reports: tuple[Report, ...]
    hazards: tuple[Finding, ...]
    blockers: tuple[Finding, ...]
    overrides: tuple[Override, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedState:
    """What the source shows of one state: the list entry and what was read of its document, never its bytes.

    ``problem`` is set when the document cannot be moved as it is (code and message); the rest is then as far as known.
    """

    name: str
    listed_serial: int | None
    locked_by: str | None
    deleted: bool
    sha256: str | None = None
    serial: int | None = None
    lineage: str | None = None
    size: int = 0
    encrypted: bool = False
    resource_count: int | None = None
    problem: Finding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedKey:
    """What the target shows at one key: digest of what stands there (None: nothing), and who holds its lock."""

    key: str
    sha256: str | None
    locked_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The source project: numeric id and full path."""

    id: int
    path: str
