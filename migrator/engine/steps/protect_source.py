"""protect_source: have GitLab refuse every write to the state, so that the seal does not hang on its lock alone.

Every maintainer can force a lock open, and then a stale checkout writes. A protection rule refuses it all the same. The
lock stays held as well. Where no rule can be made (an older GitLab, the feature off, a token that may not, somebody else's
rule), the lock alone is the seal, and the evidence says why: that never stops a migration.

A rule is ours if it is exactly as we make it and did not stand when the step began, which the intent says.
"""

from dataclasses import dataclass

from migrator.backends.base import Protection, ProtectionRule, Unprotected
from migrator.engine.phases import StepKind
from migrator.engine.ports import Ports
from migrator.engine.step import Done, NotDone, Probe
from migrator.errors import CredentialsRefusedError, RefusedError
from migrator.journal.fold import RunView, StepState
from migrator.journal.record import Body
from migrator.plan.model import PlannedState


@dataclass(frozen=True, slots=True)
class ProtectSource:
    """Protect one state at the source."""

    state: PlannedState
    kind = StepKind.PROTECT_SOURCE

    @property
    def unit(self) -> str:
        """The state's name."""
        return self.state.name

    def build_intent(self, ports: Ports, run: RunView) -> Body:
        """Name the rule that stands before."""
        found = ports.source.read_protection(self.state.name)
        return {"before": found.rule.id if found.rule else None, "reason": found.reason}

    def probe(self, ports: Ports, intent: Body) -> Probe:
        """Look whether a rule of ours stands."""
        rule = ports.source.read_protection(self.state.name).rule
        return Done(_evidence(Protection(rule=rule), intent)) if _is_ours(rule, intent) else NotDone()

    def apply(self, ports: Ports, intent: Body) -> Body:
        """Make the rule, or find out why there can be none."""
        if intent["reason"]:
            return {"rule": None, "reason": intent["reason"]}
        return _evidence(ports.source.protect_state(self.state.name), intent)

    def build_undo_intent(self, ports: Ports, run: RunView) -> Body:
        """Undoing needs the rule's id only."""
        return {}

    def undo(self, ports: Ports, intent: Body, undo_intent: Body) -> Body:
        """Remove the rule if it is still exactly ours."""
        rule_id = intent["rule"] if "rule" in intent else self._find_ours(ports, intent)
        if rule_id is None:
            return {"removed": "nothing"}
        removed = ports.source.unprotect_state(self.state.name, rule_id)
        if removed is Unprotected.CHANGED:
            raise _build_refusal(self.state.name, rule_id, now="the rule was left as it is")
        return {"removed": removed.value}

    def _find_ours(self, ports: Ports, intent: Body) -> int | None:
        """Return the rule of an intent without outcome, None when it never took effect."""
        found = ports.source.read_protection(self.state.name)
        _check_known(found, self.state.name, now="nothing was removed")
        return found.rule.id if found.rule and _is_ours(found.rule, intent) else None


def check_may_unprotect(ports: Ports, run: RunView, name: str) -> None:
    """Look whether the rule that this run may have made could be removed.

    Raises: RefusedError, CredentialsRefusedError, BackendError.
    """
    step = run.step(StepKind.PROTECT_SOURCE, name)
    made = step.intent is not None and step.state is not StepState.UNDONE
    if not made or (step.evidence is not None and step.evidence["rule"] is None):
        return
    found = ports.source.read_protection(name)
    _check_known(found, name, now="nothing was touched")
    ours = step.evidence["rule"] if step.evidence else None
    if found.rule is not None and found.rule.id == ours and not found.rule.is_as_made:
        raise _build_refusal(name, found.rule.id, now="nothing was touched")


def _check_known(found: Protection, name: str, *, now: str) -> None:
    if not found.known:
        raise CredentialsRefusedError(
            f"{found.reason}, and a rule of this run may stand",
            where=name,
            now=now,
            hint="use a token with the scope api of somebody with the role Maintainer, then: migrator rollback",
        )


def _build_refusal(name: str, rule_id: int, *, now: str) -> RefusedError:
    return RefusedError(
        f"protection rule {rule_id}, which this run made, was changed since",
        where=name,
        now=now,
        hint=f"remove rule {rule_id} at GitLab if nobody needs it, then: migrator rollback",
    )


def _is_ours(rule: ProtectionRule | None, intent: Body) -> bool:
    return rule is not None and rule.is_as_made and rule.id != intent["before"]


def _evidence(found: Protection, intent: Body) -> Body:
    rule = found.rule
    if rule is None:
        return {"rule": None, "reason": found.reason}
    if _is_ours(rule, intent):
        return {"rule": rule.id, "reason": ""}
    return {
        "rule": None,
        "reason": f"rule {rule.id} of somebody else stands: {rule.describe()}",
        "theirs": rule.id if rule.keeps_everybody_out else None,
    }
