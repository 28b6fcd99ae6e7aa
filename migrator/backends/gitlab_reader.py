"""Everything that only reads GitLab: the project, the list of states, documents, versions.

Invariants: requests address the project by its numeric id (a moved project refuses writes under its former path); state
names are percent-encoded whole; an empty list is believed only after a REST read has proved the permission to read.
REST cannot list states, so listing is GraphQL (``Project.terraformStates``, which keeps soft-deleted rows).
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import msgspec

from migrator.backends.base import Head, ListedState, Presence
from migrator.backends.gitlab_answer import Answer, Exchange, build_refusal
from migrator.errors import BackendError, CredentialsRefusedError, InvalidStateError, MigratorError
from migrator.state.snapshot import read_snapshot

_MOST_PAGES = 1000
_PROBE_NAME = "migrator-permission-probe"
_STATE_FIELDS = "name deletedAt lockedAt lockedByUser { username } latestVersion { serial }"
_LIST_QUERY = f"""query($project: ID!, $after: String) {{ project(fullPath: $project) {{
  terraformStates(first: 100, after: $after) {{
    count pageInfo {{ hasNextPage endCursor }} nodes {{ {_STATE_FIELDS} }} }} }} }}"""
_STATE_QUERY = f"""query($project: ID!, $name: String!) {{ project(fullPath: $project) {{
  terraformState(name: $name) {{ {_STATE_FIELDS} }} }} }}"""

_LISTING_NEEDS = (
    "set the variable that source.token_env names to a personal, project or group access token with the scope read_api "
    "(better: api) that is not expired; a CI job token can read, lock and write states, but not list them"
)

Document = TypeVar("Document")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A GitLab project: numeric ``id``, and the ``path`` with its groups (``acme/infra``)."""

    id: int
    path: str


class _ProjectAnswer(msgspec.Struct):
    id: int
    path_with_namespace: str


class _User(msgspec.Struct):
    username: str


class _Version(msgspec.Struct):
    serial: int


class _StateNode(msgspec.Struct, rename="camel"):
    name: str
    deleted_at: str | None = None
    locked_at: str | None = None
    locked_by_user: _User | None = None
    latest_version: _Version | None = None


class _PageInfo(msgspec.Struct, rename="camel"):
    has_next_page: bool
    end_cursor: str | None = None


class _StatePage(msgspec.Struct, rename="camel"):
    page_info: _PageInfo
    nodes: list[_StateNode]
    count: int | None = None


class _ProjectNode(msgspec.Struct, rename="camel"):
    terraform_states: _StatePage | None = None
    terraform_state: _StateNode | None = None


class _Data(msgspec.Struct):
    project: _ProjectNode | None = None


class _GraphError(msgspec.Struct):
    message: str


class _GraphAnswer(msgspec.Struct):
    data: _Data | None = None
    errors: list[_GraphError] = []


class GitLabReader:
    """The reading half of GitLab's state backend, for one project."""

    def __init__(self, exchange: Exchange, *, project: int | str) -> None:
        self._exchange = exchange
        self._project_setting = project
        self._project: Project | None = None
        self._project_guard = threading.Lock()
        self._rows: set[str] = set()  # names that this instance has seen listed: they exist and are not deleted
        self._single_state_known = True  # until a GitLab without Project.terraformState says otherwise

    def resolve_project(self) -> Project:
        """Return the project's numeric id and present path, asked for once.

        A moved project answers 301 with its numeric id; the id is taken from there and asked for at the same server, so
        that the token never goes elsewhere (GitLab ``lib/api/helpers.rb``).

        Raises: CredentialsRefusedError, BackendError.
        """
        with self._project_guard:
            if self._project is None:
                self._project = self._read_project()
            return self._project

    def list_states(self) -> Sequence[ListedState]:
        """Return every state of the project, sorted by name (see ``StateSource``)."""
        nodes: dict[str, _StateNode] = {}
        cursor: str | None = None
        page = self._read_state_page(None)
        nodes.update((node.name, node) for node in page.nodes)
        for _ in range(_MOST_PAGES):
            if not page.page_info.has_next_page or page.page_info.end_cursor in {None, cursor}:
                break
            cursor = page.page_info.end_cursor
            page = self._read_state_page(cursor)
            nodes.update((node.name, node) for node in page.nodes)
        self._check_list(page, len(nodes))
        self._rows.update(node.name for node in nodes.values() if node.deleted_at is None)
        return tuple(_build_listed_state(nodes[name]) for name in sorted(nodes))

    def read_state(self, name: str) -> Head:
        """Return the newest document of ``name`` (see ``StateSource``)."""
        return _build_head(self._exchange.read(self._state_path(name)))

    def read_version(self, name: str, serial: int) -> bytes | None:
        """Return the bytes stored under ``serial`` (see ``StateSource``).

        GitLab routes no dotted name to its versions; for one, the newest document answers where it can.

        Raises: BackendError when a dotted name's history would be needed.
        """
        answer = self._exchange.read(f"{self._state_path(name)}/versions/{serial}")
        if answer.status == 200 and not answer.is_page:
            return answer.body
        if answer.is_unrouted and "." in name:
            return self._read_version_of_dotted(name, serial)
        if answer.status == 404 and answer.message.casefold() == "404 not found":
            return None
        raise build_refusal(answer)

    def _read_version_of_dotted(self, name: str, serial: int) -> bytes | None:
        head = self.read_state(name)
        if head.presence is not Presence.PRESENT:
            return None
        newest = read_serial(head.data)
        if newest == serial:
            return head.data
        if newest is None or newest > serial:
            raise BackendError(
                f"GitLab cannot serve version {serial} of a state whose name has a dot",
                where=f"GET {self._state_path(name)}/versions/{serial}",
            )
        return None  # GitLab serves the highest serial, so nothing stands above it

    def _read_project(self) -> Project:
        setting = str(self._project_setting)
        answer = self._exchange.read(f"/api/v4/projects/{quote(setting, safe='')}")
        if answer.status == 301:
            moved = re.search(r"/api/v4/projects/(\d+)", answer.headers.get("location", ""))
            if moved:
                answer = self._exchange.read(f"/api/v4/projects/{moved[1]}")
        if answer.status in {401, 403, 404} and not answer.is_page:  # a job token is nobody here: 404
            raise CredentialsRefusedError(
                f"the project does not exist, or the token cannot see it: {answer.message}",
                where=answer.where,
                hint=f"check source.project; {_LISTING_NEEDS}",
            )
        if answer.status != 200 or answer.is_page:
            raise build_refusal(answer)
        found = decode_answer(answer, _ProjectAnswer)
        return Project(id=found.id, path=found.path_with_namespace)

    def _project_path(self) -> str:
        number = self._project_setting if isinstance(self._project_setting, int) else self.resolve_project().id
        return f"/api/v4/projects/{number}"

    def _state_path(self, name: str) -> str:
        return f"{self._project_path()}/terraform/state/{quote(name, safe='')}"

    def _has_row(self, name: str) -> bool:
        """Whether GitLab knows the name. Locking or unlocking an unknown one would create an empty state."""
        if name in self._rows:
            return True
        answer = self._exchange.glance(self._state_path(name))
        if answer.is_unknown_state:
            return False
        if answer.status in {200, 204} and not answer.is_page:
            return True
        raise build_refusal(answer)

    def _read_listed_state(self, name: str) -> ListedState | None:
        """Return what GraphQL says of one state; None when it is not there."""
        if not self._single_state_known:
            return next((state for state in self.list_states() if state.name == name), None)
        try:
            project = self._ask(_STATE_QUERY, name=name)
        except _UnknownFieldError:
            self._single_state_known = False
            return self._read_listed_state(name)
        return _build_listed_state(project.terraform_state) if project.terraform_state else None

    def _read_state_page(self, cursor: str | None) -> _StatePage:
        page = self._ask(_LIST_QUERY, after=cursor).terraform_states
        if page is None:
            raise CredentialsRefusedError("GitLab does not list the states of this project", where="POST /api/graphql")
        return page

    def _ask(self, query: str, **variables: str | None) -> _ProjectNode:
        path = self.resolve_project().path
        answer = self._exchange.ask(
            "/api/graphql", {"query": query, "variables": {"project": path} | {k: v for k, v in variables.items() if v}}
        )
        if answer.status in {401, 403}:
            raise CredentialsRefusedError(
                "GitLab refuses this token at GraphQL, the only way to list states and to see their locks",
                where=answer.where,
                hint=_LISTING_NEEDS,
            )
        if answer.status != 200 or answer.is_page:
            raise build_refusal(answer)
        return _read_graph_answer(answer, path)

    def _check_list(self, last_page: _StatePage, found: int) -> None:
        """Raise unless the list is whole; an empty one is also what a token without permission is shown."""
        if last_page.page_info.has_next_page or (last_page.count or 0) > found:
            raise CredentialsRefusedError(
                f"GitLab counts {last_page.count} states and lists {found}",
                where="POST /api/graphql",
                hint="run the command again while nobody creates or deletes states",
            )
        if not found:
            self._has_row(_PROBE_NAME)


class _UnknownFieldError(BackendError):
    """This GitLab's GraphQL schema lacks a field that we asked for."""


def read_serial(data: bytes) -> int | None:
    """Return the serial of a document, None when it has none that OpenTofu would accept."""
    try:
        return read_snapshot(data).serial
    except InvalidStateError:
        return None


def _build_head(answer: Answer) -> Head:
    if answer.is_unknown_state:
        return Head(presence=Presence.ABSENT)
    if answer.status == 204 or (answer.status == 200 and not answer.body):
        return Head(presence=Presence.EMPTY)
    if answer.status == 200 and not answer.is_page:
        return Head(presence=Presence.PRESENT, data=answer.body)
    raise build_refusal(answer)


def _build_listed_state(node: _StateNode) -> ListedState:
    return ListedState(
        name=node.name,
        serial=node.latest_version.serial if node.latest_version else None,
        locked=node.locked_at is not None or node.locked_by_user is not None,
        locked_at=node.locked_at,
        locked_by=node.locked_by_user.username if node.locked_by_user else None,
        deleted=node.deleted_at is not None,
    )


def _read_graph_answer(answer: Answer, path: str) -> _ProjectNode:
    document = decode_answer(answer, _GraphAnswer)
    if document.errors:
        said = answer.quote(document.errors[0].message)
        kind: type[MigratorError] = _UnknownFieldError if "doesn't exist on type" in said else BackendError
        raise kind(f"GitLab's GraphQL refuses the query: {said}", where=answer.where)
    if document.data is None or document.data.project is None:
        raise CredentialsRefusedError(
            f"the project {path} does not exist in GraphQL, or the token cannot see it",
            where=answer.where,
            hint="the token needs the scope read_api and the role Developer in the project",
        )
    return document.data.project


def decode_answer(answer: Answer, kind: type[Document]) -> Document:
    """Return the document of an answer.

    Raises: BackendError when it is not one of this shape.
    """
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BackendError(
            f"the answer is not one that GitLab gives: {error}", where=answer.where, hint="check source.url"
        ) from error
