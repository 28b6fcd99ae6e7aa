"""Records fixtures/wire/{plan,status,verify}-1.json and journal-1.jsonl from a real migration and rollback on a small lab.

    python -m tests.cli.record_wire

Addresses, times, IDs and the run's name are replaced by fixed ones, so that recording again changes what has changed only. To be
run for a new format version, never to make a test pass: what was written once must stay readable.
"""

import json
import re
import tempfile
from itertools import count
from pathlib import Path

import msgspec

from migrator.journal.log import Log, read_log
from migrator.journal.record import RecordKind
from migrator.plan.codec import digest_of_plan, encode_plan
from migrator.plan.model import Plan
from tests.cli.lab import CHECKOUT, Lab
from tests.support.s3_servers import start_moto

WIRE = CHECKOUT / "fixtures" / "wire"
RUN = "20260102T030405000000Z-wire"
REVISION = "0" * 40
ENDPOINT = "https://s3.example.internal:9000"
MOMENT = "2026-01-02T03:04:05.000000Z"
TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def record(directory: Path) -> None:
    server = start_moto()
    lab = Lab(directory, server)
    lab.migrate()
    verified = lab.run("verify", "--json").document
    lab.run("rollback", "--yes")
    run = lab.runs()[0]
    text = (run / "plan.json").read_text()
    for found, fixed in (
        (lab.url, "https://gitlab.example.com"),
        (server.endpoint, ENDPOINT),
        (lab.bucket, "tofu-state"),
    ):
        text = text.replace(found, fixed)
    document = json.loads(TIME.sub(MOMENT, text))
    document["repository"] = {"identity": REVISION, "revision": REVISION}
    plan = msgspec.convert({name: value for name, value in document.items() if name not in ("format", "digest")}, Plan)
    (WIRE / "plan-1.json").write_bytes(encode_plan(plan))
    record_journal(run / "journal.jsonl", digest_of_plan(plan))
    (WIRE / "verify-1.json").write_text(json.dumps({**verified, "run": RUN}, indent=2) + "\n")
    lab.close()
    server.stop()
    replay(directory / "replay")


def record_journal(recorded: Path, digest: str) -> None:
    path = WIRE / "journal-1.jsonl"
    path.unlink(missing_ok=True)
    numbers = count(1)
    log = Log(path, lambda: MOMENT)
    known: dict[str, str] = {}
    for one in read_log(recorded):
        text = TIME.sub(MOMENT, json.dumps(dict(one.body)))
        text = UUID.sub(lambda found: known.setdefault(found[0], f"00000000-0000-4000-8000-{next(numbers):012}"), text)
        body = json.loads(text)
        if one.kind is RecordKind.RUN:
            body |= {"run": RUN, "plan": digest}
        log.append(one.kind, body, step=one.step, unit=one.unit)
    log.close()
    path.chmod(0o644)


def replay(directory: Path) -> None:
    """Let ``status`` read what was recorded, and keep what it says."""
    server = start_moto()
    lab = Lab(directory, server)
    run = lab.repo / ".migrator" / "runs" / RUN
    run.mkdir(parents=True)
    for name, source in (("plan.json", "plan-1.json"), ("journal.jsonl", "journal-1.jsonl")):
        (run / name).write_bytes((WIRE / source).read_bytes())
    (WIRE / "status-1.json").write_text(lab.run("status", "--json").out)
    lab.close()
    server.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        record(Path(made))
