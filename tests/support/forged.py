"""A run in the bucket that somebody made up: digests and chains of hashes are right, what they say is not."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from migrator.journal.log import read_journal_bytes
from migrator.journal.record import GENESIS, Record, RecordKind, encode_record
from migrator.plan.codec import decode_plan, digest_of_plan, encode_plan
from migrator.plan.model import Plan
from tests.cli.lab import MIRROR, Lab

Records = Sequence[Record]


def forge(
    lab: Lab,
    plan: Callable[[Plan], Plan] = lambda plan: plan,
    records: Callable[[Records], Records] = lambda records: records,
) -> None:
    """Replace the latest mirrored run by one with another plan, or with other records."""
    stem, mirrored = latest(lab)
    made = plan(decode_plan(mirrored[stem + "plan.json"], where=""))
    pieces = sorted(name for name in mirrored if name.startswith(stem + "journal/"))
    found = read_journal_bytes(b"".join(mirrored[name] for name in pieces), where="")
    begun = [
        replace(one, body={**one.body, "plan": digest_of_plan(made)}) if one.kind is RecordKind.RUN else one
        for one in found
    ]
    lines, previous = [], GENESIS
    for number, record in enumerate(records(begun), 1):
        line, previous = encode_record(replace(record, number=number), previous)
        lines.append(line)
    client = lab.server.client()
    for name in pieces:
        client.delete_object(Bucket=lab.bucket, Key=MIRROR + name)
    lab.put(f"{MIRROR}{stem}journal/00000001.jsonl", b"".join(lines))
    lab.put(f"{MIRROR}{stem}plan.json", encode_plan(made))


def latest(lab: Lab) -> tuple[str, dict[str, bytes]]:
    """The name of the latest mirrored run's directory, and everything that is mirrored."""
    mirrored = lab.mirrored()
    return max(f"runs/{name.split('/')[1]}/" for name in mirrored), mirrored


def change(kind: str, step: str, **body: Any) -> Callable[[Records], Records]:
    """Other values in the bodies of a step's records."""
    return lambda records: [
        replace(one, body={**one.body, **body}) if (one.kind, one.step) == (kind, step) else one for one in records
    ]
