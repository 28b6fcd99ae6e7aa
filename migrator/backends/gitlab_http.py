"""GitLab's HTTP state backend: ``GitLabSource``, and the only code that imports requests.

Invariants: a redirect is never followed; the token is sent to ``url`` only and never stands in a message; only requests
without effect are repeated blindly; a document is held once (asked for uncompressed, read whole into one buffer).
Protocol: GitLab ``lib/api/terraform/state.rb``, OpenTofu ``internal/backend/remote-state/http/client.go``.
"""

import json
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from migrator.backends.base import Presence
from migrator.backends.gitlab_answer import Answer, LostReplyError, build_refusal
from migrator.backends.gitlab_lock import check_lock_id
from migrator.backends.gitlab_protection import GitLabProtection
from migrator.backends.gitlab_reader import Project, read_serial
from migrator.backends.retry import RetryPolicy, TransientError, build_refused_doubt, retry_call, retry_write
from migrator.errors import (
    BackendError,
    BackendUnreachableError,
    ConfigurationError,
    CredentialsRefusedError,
    ForeignLockError,
    ForeignObjectError,
    InternalError,
    MigratorError,
    UnknownOutcomeError,
)
from migrator.redact import Redactor

__all__ = ["GitLabSource", "Project"]

_GLANCE_BYTES = 65536


class GitLabSource(GitLabProtection):
    """``StateSource`` on GitLab: the states of one project.

    ``url`` is GitLab's base address; ``project`` a numeric id or a path. With ``username`` the token is sent to the
    state API as HTTP basic (CI job tokens), else as ``PRIVATE-TOKEN``. ``timeout`` is in seconds, per read of the socket.

    Raises: ConfigurationError when the address or the CA bundle cannot be used.
    """

    def __init__(
        self,
        *,
        url: str,
        project: int | str,
        token: str,
        username: str | None = None,
        ca_bundle: str | None = None,
        timeout: float = 30.0,
        workers: int = 16,
        retry: RetryPolicy | None = None,
    ) -> None:
        retry = retry or RetryPolicy()
        _check_token(token)
        auth = _Basic(username, token) if username else _PrivateToken(token)
        session = _build_session(url, auth=auth, ca_bundle=ca_bundle, workers=workers)
        redact = Redactor([token, f"{username}:{token}" if username else None])
        exchange = _RequestsExchange(session, url=url, timeout=timeout, retry=retry, redact=redact)
        super().__init__(exchange, project=project, retry=retry)

    def write_state(self, name: str, data: bytes, *, serial: int, lock_id: str) -> None:
        """Store ``data`` as version ``serial`` under our lock (see ``StateSource``).

        GitLab serves the highest serial whatever was written last, and refuses a serial that it has; both are looked at
        before and after.
        """
        check_lock_id(lock_id)
        if read_serial(data) not in {serial, None}:  # without one GitLab refuses it itself
            raise InternalError(f"the document of {name} has another serial than {serial}", now="nothing was sent")
        if self._is_served(name, data, serial):
            return
        retry_write(lambda: self._attempt_write(name, data, serial=serial, lock_id=lock_id), policy=self._retry)
        if not self._is_served(name, data, serial):
            raise BackendError(
                f"GitLab accepted version {serial} of {name} and does not serve it",
                where=f"GET {self._state_path(name)}",
            )

    def _is_served(self, name: str, data: bytes, serial: int) -> bool:
        """Whether ``data`` is what GitLab serves now.

        Raises: ForeignObjectError when something else stands at or above ``serial``.
        """
        head = self.read_state(name)
        if head.presence is Presence.ABSENT:
            raise BackendError(
                f"GitLab has no state named {name!r}; writing it would create one",
                where=f"POST {self._state_path(name)}",
            )
        if head.presence is Presence.EMPTY:
            return False
        if head.data == data:
            return True
        newest = read_serial(head.data)
        if newest is None or newest >= serial:
            raise ForeignObjectError(
                f"GitLab serves another document of {name}, with serial {newest}; serial {serial} cannot replace it",
                where=f"POST {self._state_path(name)}",
                now="nothing was written to GitLab",
            )
        return False

    def _attempt_write(self, name: str, data: bytes, *, serial: int, lock_id: str) -> None:
        """Send the document once; without a clear answer let GitLab say what it has stored."""
        try:
            answer = self._exchange.write("POST", self._state_path(name), body=data, query={"ID": lock_id})
        except LostReplyError as error:
            doubt: MigratorError = UnknownOutcomeError(
                error.message,
                where=error.where,
                now=f"version {serial} of {name} is not stored yet; the lost request may still store it",
                hint="run the command again: it looks at what GitLab has stored first",
            )
        else:
            if answer.status == 200 and not answer.is_page:
                return
            if answer.status not in {409, 422} and answer.status < 500:
                raise build_refusal(answer)
            doubt = build_refusal(answer)
            if answer.status == 422 and "StateDeleted" in answer.message:
                raise doubt
        self._settle_write(name, data, serial=serial, lock_id=lock_id, doubt=doubt)

    def _settle_write(self, name: str, data: bytes, *, serial: int, lock_id: str, doubt: MigratorError) -> None:
        """Return when ``data`` is stored under ``serial``; otherwise say why not, and whether to send it again.

        GitLab answers 500 to a write whose lock ID does not match, so the lock is looked at too.
        """
        try:
            stored = self.read_version(name, serial)
            holder = None if stored == data else self.read_lock(name, lock_id)
        except BackendUnreachableError as error:
            raise UnknownOutcomeError(
                f"{doubt.message}, and reading back failed: {error.message}",
                where=doubt.where,
                now=f"version {serial} of {name} may or may not be stored",
                hint="run the command again: it looks at what GitLab has stored first",
            ) from error
        except CredentialsRefusedError as error:
            raise build_refused_doubt(doubt, error) from error
        if stored == data:
            return
        if stored is not None:
            raise ForeignObjectError(
                f"GitLab has another document of {name} under serial {serial}",
                where=f"POST {self._state_path(name)}",
                now="nothing was written to GitLab",
            )
        if holder is None or holder.id not in {lock_id, ""}:
            described = f"it is held by {holder.describe()}" if holder else "nobody holds it now"
            raise ForeignLockError(
                f"the lock of {name} is no longer ours: {described}",
                where=f"POST {self._state_path(name)}",
                now="nothing was written to GitLab",
            )
        if isinstance(doubt, BackendUnreachableError | UnknownOutcomeError) or "Resource lock" in doubt.message:
            raise TransientError(doubt)
        raise doubt


class _PrivateToken(AuthBase):
    """Sends the token in GitLab's header. Being an auth object, it also keeps requests from consulting ``~/.netrc``."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["PRIVATE-TOKEN"] = self._token
        return request


class _Basic(AuthBase):
    """HTTP basic, which GitLab takes at the state API alone; elsewhere the token goes into GitLab's header.

    A CI job token is nobody elsewhere, whatever carries it.
    """

    def __init__(self, username: str, token: str) -> None:
        self._basic = HTTPBasicAuth(username, token)
        self._elsewhere = _PrivateToken(token)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        at_states = "/terraform/state/" in urlsplit(request.url or "").path
        return self._basic(request) if at_states else self._elsewhere(request)


class _RequestsExchange:
    """``Exchange`` over a session with a pool of connections, shared by all threads."""

    def __init__(
        self, session: requests.Session, *, url: str, timeout: float, retry: RetryPolicy, redact: Redactor
    ) -> None:
        self._redact = redact
        self._session = session
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._retry = retry

    def read(self, path: str) -> Answer:
        return retry_call(lambda: self._attempt_read("GET", path), policy=self._retry)

    def glance(self, path: str) -> Answer:
        return retry_call(lambda: self._attempt_read("GET", path, most=_GLANCE_BYTES), policy=self._retry)

    def ask(self, path: str, document: object) -> Answer:
        body = json.dumps(document).encode()
        return retry_call(lambda: self._attempt_read("POST", path, body=body), policy=self._retry)

    def write(self, method: str, path: str, *, body: bytes, query: Mapping[str, str] | None = None) -> Answer:
        def attempt() -> Answer:
            answer = self._send(method, path, body=body, query=query)
            if answer.status == 429:
                raise TransientError(build_refusal(answer), wait=_read_retry_after(answer))
            return answer

        return retry_call(attempt, policy=self._retry)

    def _attempt_read(self, method: str, path: str, *, body: bytes | None = None, most: int | None = None) -> Answer:
        try:
            answer = self._send(method, path, body=body, most=most)
        except BackendUnreachableError as error:
            raise TransientError(error) from error
        if answer.status == 429 or answer.status >= 500:
            raise TransientError(build_refusal(answer), wait=_read_retry_after(answer))
        return answer

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        most: int | None = None,
    ) -> Answer:
        where = f"{method} {path}"
        url = self._url + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Content-Type": "application/json"} if body is not None else None
        try:
            response = self._session.request(
                method, url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False, stream=True
            )
            with response:
                data: bytes = response.raw.read(most, decode_content=True)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise self._build_error(error, where) from error
        answer_headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(where=where, status=response.status_code, headers=answer_headers, body=data, redact=self._redact)

    def _build_error(self, error: Exception, where: str) -> MigratorError:
        """Return what a failed exchange means. The text of requests' own errors holds the query: it is not used."""
        if isinstance(error, requests.exceptions.SSLError):
            return BackendUnreachableError(
                f"no TLS connection to {self._url}: {_read_tls_reason(error)}",
                where=where,
                hint="set source.ca_bundle (or REQUESTS_CA_BUNDLE) to the certificate authority of this GitLab",
            )
        if isinstance(error, requests.exceptions.ProxyError):
            return BackendUnreachableError(
                "the proxy cannot be reached or refuses", where=where, hint="check HTTPS_PROXY and NO_PROXY"
            )
        if isinstance(error, requests.exceptions.ConnectTimeout) or _was_never_sent(error):
            return BackendUnreachableError(
                f"no connection to {self._url}", where=where, hint="check source.url and the network, then run it again"
            )
        late = isinstance(error, requests.Timeout | ReadTimeoutError)
        reason = "no answer in time" if late else "the connection broke before the answer"
        return LostReplyError(f"{reason} from {self._url}", where=where, hint="run the command again")


def _build_session(url: str, *, auth: AuthBase, ca_bundle: str | None, workers: int) -> requests.Session:
    """Return a session whose settings are complete: proxy and CA variables are read once, here, by requests itself."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
        raise ConfigurationError(
            "source.url must be http(s)://host[:port][/path] without user and query", hint="correct it in migrator.toml"
        )
    if ca_bundle and not Path(ca_bundle).exists():
        raise ConfigurationError(f"the CA bundle {ca_bundle} does not exist", hint="correct source.ca_bundle")
    session = requests.Session()
    session.auth = auth
    session.headers["Accept-Encoding"] = "identity"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # a cookie jar is all that threads would share
    environment = session.merge_environment_settings(url, {}, stream=True, verify=ca_bundle, cert=None)
    session.proxies = dict(environment["proxies"])
    session.verify = environment["verify"]
    session.trust_env = False
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=workers, max_retries=0, pool_block=False)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _check_token(token: str) -> None:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(
            "the GitLab token is empty or holds characters that no token has",
            hint="check the variable that source.token_env names for a line break or quotes",
        )


def _was_never_sent(error: BaseException) -> bool:
    """Whether the connection could not even be opened, which requests buries two causes deep."""
    reason = error.args[0] if error.args else None
    return isinstance(getattr(reason, "reason", reason), NewConnectionError)


def _read_tls_reason(error: requests.exceptions.SSLError) -> str:
    text = str(error)
    for known in ("certificate verify failed", "hostname mismatch", "wrong version number", "handshake failure"):
        if known in text.casefold().replace("_", " "):
            return known
    return "the handshake failed"


def _read_retry_after(answer: Answer) -> float | None:
    """Return the seconds that a 429 or 503 asks us to wait; a date or nothing leaves it to the policy."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdigit() else None
