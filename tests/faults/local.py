"""Faults of the local disk, of the clock, and interrupts."""

from tests.faults.disk import ENTRIES, SYNCS, WRITES, meet_failing_sync, meet_no_room, meet_read_only
from tests.faults.forward import forward_from_a_backup
from tests.faults.model import AGAIN, Ends, Fault
from tests.faults.strikes import AtRest, Interrupt, OnDisk, TurnBackTheClock

# Before the journal's first record there is no run.
NO_RUN = Ends(2, AGAIN)
# A file of the work tree names the command; whatever cannot be kept in the run directory says what to do about the disk.
KEPT = Ends(5, AGAIN)
STOPS = {
    "migrate": {"look/* journal*": KEPT, "look/*": NO_RUN, "* file*": 5, "*": KEPT},
    "rollback": {"* file*": 5, "*": KEPT},
}
SYNC_STOPS = {**STOPS, "migrate": {"look/fsync directory 7": KEPT, **STOPS["migrate"]}}
READ_ONLY_STOPS = {**STOPS, "rollback": {"carry/* blob*": KEPT, "* file*": 5}}

DISK = (
    Fault(
        name="no-room",
        title="the disk is full: half of a write is taken, and nothing after it",
        strike=OnDisk(operations=WRITES, meet=meet_no_room),
        lasting=STOPS,
    ),
    Fault(
        name="failing-sync",
        title="the disk reports an error when a write is made durable (injected)",
        strike=OnDisk(operations=SYNCS, meet=meet_failing_sync),
        once=SYNC_STOPS,
        note="the kernel reports a lost page once",
    ),
    Fault(
        name="read-only",
        title="a directory becomes read-only",
        strike=OnDisk(operations=ENTRIES, meet=meet_read_only),
        lasting=READ_ONLY_STOPS,
    ),
)


def find_records(journal: bytes) -> list[tuple[str, int]]:
    """The middle of each record."""
    found, start = [], 0
    for number, line in enumerate(journal.splitlines(keepends=True), 1):
        found.append((f"record {number}", start + len(line) // 2))
        start += len(line)
    return found


def find_middle(blob: bytes) -> list[tuple[str, int]]:
    return [(name_blob(blob), len(blob) // 2)]


def name_blob(blob: bytes) -> str:
    return "state" if b'"serial"' in blob else "file"


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def cut(data: bytes, place: int) -> bytes:
    return data[:place]


BACKUP = "restore the file from a backup"
LOST = Ends(3, "migrator rollback")
AT_REST = (
    Fault(
        name="journal-bit",
        title="a bit of the journal flips at rest",
        strike=AtRest(files="journal.jsonl$", find=find_records, damage=flip),
        base="stopped",
        lasting={"migrate": {"*": Ends(3, BACKUP)}, "rollback": {"*": Ends(3, BACKUP)}},
        forward=forward_from_a_backup,
    ),
    Fault(
        name="journal-cut",
        title="the journal ends in the middle of a record: what came after it is lost",
        strike=AtRest(files="journal.jsonl$", find=find_records, damage=cut),
        base="stopped",
        lasting={
            "migrate": {"record [12]": 4, "record 3": 4, "*": 0},
            "rollback": {"record ?": LOST, "record 1?": LOST, "*": 0},
        },
        forward=forward_from_a_backup,
        note="what is left is a true beginning; where it says less than the world shows, nothing is touched",
    ),
    Fault(
        name="journal-cut-mirrored",
        title="the same, where the run is mirrored",
        strike=AtRest(files="journal.jsonl$", find=find_records, damage=cut),
        setting="mirrored",
        base="stopped",
        lasting={"migrate": {"record 1": 4, "*": 0}, "rollback": {"record 1": LOST, "*": 0}},
        forward=forward_from_a_backup,
        note="the mirror has what was lost, and is asked as long as the journal names the run",
    ),
    Fault(
        name="blob-bit",
        title="a bit of a blob flips at rest",
        strike=AtRest(files="/blobs/", find=find_middle, damage=flip),
        base="stopped",
        lasting={"migrate": {"state": 3}, "rollback": {"state": 0, "file": 4}},
        forward=forward_from_a_backup,
    ),
)

OTHER = (
    Fault(
        name="interrupt",
        title="SIGINT or SIGTERM",
        strike=Interrupt(),
        once={
            "migrate": {"migrated/GET tflock 2": 0, "migrated/DELETE tflock": 0, "*": 130},
            "rollback": {"release/GET state": 0, "release/DELETE lock": 0, "*": 130},
        },
    ),
    Fault(
        name="clock-back",
        title="the clock goes backwards",
        strike=TurnBackTheClock(),
        lasting={"migrate": {"*": 0}, "rollback": {"*": 0}},
    ),
)

FAULTS = (*DISK, *AT_REST, *OTHER)
