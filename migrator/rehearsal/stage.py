"""What the scenes of a rehearsal share: the copy, both servers, the programs, and what was true at the beginning."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from migrator.backends.base import Presence, StateSource, StateTarget
from migrator.errors import CheckFailedError
from migrator.inventory.model import Inventory
from migrator.journal.fold import RunView
from migrator.journal.home import Home
from migrator.plan.model import Plan, PlannedState
from migrator.rehearsal.checkout import Fingerprint, copy_files, list_files
from migrator.rehearsal.embedded import Embedded
from migrator.rehearsal.model import Transcript
from migrator.rehearsal.programs import Shell, Tofu
from migrator.rewrite.replacements.wording import build_backend_file_name
from migrator.state.snapshot import digest_of

CHANGE_FILE = "migrator_rehearsal.tf"
CHANGE_ADDRESS = "terraform_data.migrator_rehearsal"
_CHANGE = 'resource "terraform_data" "migrator_rehearsal" {\n  input = "a change after the migration"\n}\n'


class LeftOutError(Exception):
    """A scene cannot be played here; the text says why. Not a failure, and never shown as an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was written at the target after the migration: the newer document of one state."""

    state: PlannedState
    document: bytes
    serial: int
    by_tofu: bool


@dataclass(slots=True, kw_only=True)
class Stage:
    """One rehearsal while it is played. ``tofu`` is a reason in words when none takes part.

    ``heads`` are the digests of what the source served at the beginning, None for a state without a document.
    """

    copy: Path
    scratch: Path
    shell: Shell
    embedded: Embedded
    source: StateSource
    target: StateTarget
    tofu: Tofu | str
    inventory: Inventory
    before: Fingerprint
    heads: Mapping[str, str | None]
    show: Callable[[Transcript], None]
    plan: Plan | None = None
    change: Change | None = None
    _checkouts: dict[str, Path] = field(default_factory=dict)

    @property
    def planned(self) -> Plan:
        """The plan that was made; scenes that ask for it need the scene that makes it."""
        assert self.plan is not None
        return self.plan

    def migrator(self, *arguments: str) -> Transcript:
        """Run and show a command of this program.

        Raises: CheckFailedError when it does not exit 0.
        """
        transcript = self.shell.migrator(*arguments)
        self.show(transcript)
        if transcript.exit_code:
            raise build_failure(transcript)
        return transcript

    def require_tofu(self) -> Tofu:
        """Return the program.

        Raises: LeftOutError.
        """
        if isinstance(self.tofu, str):
            raise LeftOutError(self.tofu)
        return self.tofu

    def read_run(self) -> RunView:
        """Return what the journal of the run says."""
        return Home(self.copy).find_run(None).read_view()

    def read_head(self, name: str) -> str | None:
        """Return the digest of what the source serves now, None for no document."""
        head = self.source.read_state(name)
        return digest_of(head.data) if head.presence is Presence.PRESENT else None

    def read_document(self, state: PlannedState) -> bytes:
        """Return what the target holds for a state now.

        Raises: CheckFailedError when there is nothing.
        """
        head = self.target.read_state(state.key)
        if head.presence is not Presence.PRESENT:
            raise CheckFailedError("the target holds no document", where=f"{state.name}, key {state.key}")
        return head.data

    def choose_state(self) -> PlannedState:
        """Return the state that the story is told of: the first with a document that can be opened.

        Raises: LeftOutError.
        """
        for state in self.planned.states:
            if state.sha256 is not None and not state.encrypted:
                return state
        raise LeftOutError("no state has a document that can be changed without a key")

    def check_out(self, name: str) -> Path:
        """Return a colleague's checkout: the files as they are now, kept under this name."""
        if name not in self._checkouts:
            checkout = self.scratch / "checkouts" / name
            copy_files(self.copy, list_files(self.copy), checkout)
            self._checkouts[name] = checkout
        return self._checkouts[name]

    def write_change(self, checkout: Path, state: PlannedState) -> None:
        """Add one resource to the stack in a colleague's checkout."""
        (checkout / state.directory / CHANGE_FILE).write_text(_CHANGE)

    def init(self, checkout: Path, state: PlannedState, side: str) -> Transcript:
        """Run ``tofu init`` in a checkout against one side."""
        flag = self._source_flag(state) if side == "source" else self._target_flag(state)
        return self.run_tofu(checkout, state, "init", "-reconfigure", "-input=false", "-no-color", flag)

    def run_tofu(self, checkout: Path, state: PlannedState, *arguments: str) -> Transcript:
        """Run OpenTofu in the state's stack; what it keeps stays outside of the checkout."""
        program = self.require_tofu().program
        shown = [one for one in arguments if one not in ("-input=false", "-no-color")]
        return self.shell.run(
            [program, f"-chdir={checkout / state.directory}", *arguments],
            typed=" ".join([Path(program).name, f"-chdir={state.directory}", *shown]),
            more={"TF_DATA_DIR": str(self.scratch / "data" / f"checkout-{checkout.name}")},
        )

    def _target_flag(self, state: PlannedState) -> str:
        if self.planned.target.style == "partial":
            return f"-backend-config={build_backend_file_name(state.name)}"
        return f"-backend-config=key={state.key}"

    def _source_flag(self, state: PlannedState) -> str:
        """Everything that reaches GitLab's backend, in a file: a token has no place among arguments."""
        embedded = self.embedded
        name = state.name.replace("%", "%25").replace("/", "%2F").replace(" ", "%20")
        address = f"{embedded.source_url}/api/v4/projects/{embedded.project_id}/terraform/state/{name}"
        settings = {
            "address": address,
            "lock_address": f"{address}/lock",
            "unlock_address": f"{address}/lock",
            "lock_method": "POST",
            "unlock_method": "DELETE",
            "username": "rehearsal",
            "password": embedded.credentials.token,
        }
        file = self.scratch / "source.http.tfbackend"
        file.touch(mode=0o600)
        file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
        return f"-backend-config={file}"


def build_failure(transcript: Transcript) -> CheckFailedError:
    """Return the failure of a command, in its own words where it has some."""
    lines = [line.strip(" │╷╵") for line in transcript.output.splitlines()]
    said = {label: line for label in ("error", "where", "next") for line in lines if line.startswith(f"{label}:")}
    errors = [line for line in lines if line.lower().startswith("error:")]
    first = errors[0] if errors else next((line for line in reversed(lines) if line), "no output")
    where = said.get("where", "").removeprefix("where:").strip()
    message = first.partition(":")[2].strip() if errors else first
    return CheckFailedError(
        f"`{transcript.typed}` ended with {transcript.exit_code}: {message}" + (f" ({where})" if where else ""),
        hint=said.get("next", "").removeprefix("next:").strip() or None,
    )
