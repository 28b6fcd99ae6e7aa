"""publish: put the captured bytes at the target, if and only if the key is free.

``If-None-Match: *`` is the condition; the exact bytes are the evidence. Bytes that stood there before the plan was made
(``adopted``) are somebody else's: undo leaves them alone.
"""

from dataclasses import dataclass

from migrator.backends.base import Presence
from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.engine.step import Done, Foreign, NotDone, Probe
from migrator.journal.fold import RunView
from migrator.journal.record import Body
from migrator.plan.model import PlannedState
from migrator.state.snapshot import digest_of


@dataclass(frozen=True, slots=True)
class Publish:
    """Create one object at the target."""

    state: PlannedState
    kind = StepKind.PUBLISH

    @property
    def unit(self) -> str:
        """The state's name."""
        return self.state.name

    def build_intent(self, ports: Ports, run: RunView) -> Body:
        """Name key and content."""
        return {"key": self.state.key, "sha256": self.state.sha256, "adopted": self.state.adopted}

    def probe(self, ports: Ports, intent: Body) -> Probe:
        """Read the key and compare digests."""
        if intent["sha256"] is None:
            return NotDone()
        head = ports.target.read_state(self.state.key)
        if head.presence is Presence.ABSENT:
            return NotDone()
        if digest_of(head.data) != intent["sha256"]:
            return Foreign(f"{self.state.key} holds other bytes")
        token = head.token
        return Done(_evidence(intent, token.etag if token else "", token.version_id if token else None))

    def apply(self, ports: Ports, intent: Body) -> Body:
        """Create the object, or find exactly our bytes there."""
        if intent["sha256"] is None:
            return {"sha256": None}
        token = ports.target.create_state(self.state.key, ports.blobs.read(intent["sha256"]))
        return _evidence(intent, token.etag, token.version_id)

    def build_undo_intent(self, ports: Ports, run: RunView) -> Body:
        """Name the bytes that may be removed: those that were carried back if the target had moved on."""
        carried = run.step(StepKind.CARRY_BACK, self.unit).evidence
        return {"sha256": carried["sha256"]} if carried else {}

    def undo(self, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        """Remove the object if its bytes are ours, or are safe at the source."""
        digest = undo_intent.get("sha256") or intent["sha256"]
        if digest is None or (intent["adopted"] and "sha256" not in undo_intent):
            return {"removed": "left-alone"}
        if "etag" not in intent and isinstance(self.probe(ports, intent), Foreign):
            # In doubt, and somebody else's bytes stand there: ours never took effect.
            return {"removed": "left-alone"}
        return {"removed": ports.target.remove_state(self.state.key, sha256=digest).value}


def _evidence(intent: Body, etag: str, version_id: str | None) -> Body:
    return {"sha256": intent["sha256"], "etag": etag, "version_id": version_id}
