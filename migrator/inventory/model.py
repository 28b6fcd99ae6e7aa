"""What the inventory found. ``codec`` turns it into the binding JSON of interface.md section 5."""

from dataclasses import dataclass

from migrator.rewrite.reference import Disposition, Located, ReferenceKind
from migrator.rewrite.spans import Span, line_of


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Lines of a file: ``path`` relative to the repository with ``/``; lines count from 1 and include both ends."""

    path: str
    start_line: int
    end_line: int

    def __str__(self) -> str:
        if self.start_line == self.end_line:
            return f"{self.path}:{self.start_line}"
        return f"{self.path}:{self.start_line}-{self.end_line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateName:
    """A state name that the files establish for a stack.

    ``environment`` is None and ``name`` a template (``attic-{environment}``) when it depends on something unknown
    offline. ``evidence`` are the places that say so.
    """

    environment: str | None
    name: str
    evidence: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The backend block of a stack. ``type`` is ``http``, ``s3``, ``local``, ``cloud``, ...; ``place`` its block.

    ``address`` is what an http block says in its attribute of that name, as written; None where it has none.
    """

    type: str
    place: Place
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A root module. ``backend`` is None when no file declares one (local state)."""

    name: str
    directory: str
    backend: Backend | None
    states: tuple[StateName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A located reference in a file of the repository.

    ``stacks`` are the names of the stacks it serves: empty when it serves none or none can be named, all of them for a
    shared recipe. ``located`` carries the exact span and what a replacement needs. ``stray`` says that the lines lead to
    a state of GitLab although no stack has one: somebody put them back after a migration. Columns count code points from 1 in
    the first and in the last line; the last one stands behind its end.
    """

    place: Place
    kind: ReferenceKind
    disposition: Disposition
    stacks: tuple[str, ...]
    reason: str
    located: Located
    stray: bool = False
    start_column: int = 1
    end_column: int = 1

    @property
    def jump(self) -> str:
        """Where it begins, as editors take it: path:line:column."""
        return f"{self.place.path}:{self.place.start_line}:{self.start_column}"

    @property
    def leads_to_source(self) -> bool:
        """Whether these lines, as they are, use the source: what ``--check`` and ``verify`` look for."""
        return self.stray or self.disposition is Disposition.REWRITE

    @property
    def stack(self) -> str | None:
        """The one stack that this reference serves, None when it is several or none."""
        return self.stacks[0] if len(self.stacks) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazard:
    """Something in the files that makes a migration dangerous. ``code`` is stable and explained in the docs."""

    code: str
    place: Place
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Everything that was found in one repository at one revision (None outside of git or without a commit)."""

    revision: str | None
    stacks: tuple[Stack, ...]
    references: tuple[Reference, ...]
    hazards: tuple[Hazard, ...]


def build_place(path: str, text: str, span: Span) -> Place:
    """Return the lines that ``span`` covers in ``text``; a newline at its end belongs to the last line."""
    last = max(span.start, span.end - 1)
    return Place(path=path, start_line=line_of(text, span.start), end_line=line_of(text, last))
