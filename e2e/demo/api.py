"""The gateway as the story calls it: JSON over HTTP, an API key, errors as exceptions, pages followed."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import requests

Json = dict[str, Any]
T = TypeVar("T")


class ApiError(Exception):
    """The gateway refused a call. `body` is its answer (google.rpc.Status as JSON)."""

    def __init__(self, method: str, path: str, status: int, body: Json) -> None:
        error = body.get("error", {})
        super().__init__(f"{method} {path}: {status} {error.get('status', '')} {error.get('message', '')}")
        self.status = status
        self.body = body


class Api:
    """Calls with one API key in one tenant. Threads may share it: each has a connection of its own.

    url: address of the gateway. key: API key; None for public links. tenant: id, for keys that may enter tenants.
    """

    def __init__(self, url: str, key: str | None, tenant: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        if tenant:
            self.headers["X-Rapport-Tenant"] = tenant
        self._local = threading.local()

    def call(self, method: str, path: str, body: Json | None = None, **query: str | int) -> Json:
        """One call. Raises ApiError for an answer other than 2xx."""
        return self.exchange(method, path, body, **query)[0]

    def exchange(self, method: str, path: str, body: Json | None = None, **query: str | int) -> tuple[Json, str]:
        """One call; returns the answer and the trace id it was given."""
        answer = self.send(method, path, body, query)
        try:
            content: Json = answer.json() if answer.content else {}
        except ValueError:
            content = {"error": {"message": answer.text[:200]}}
        if not answer.ok:
            raise ApiError(method, path, answer.status_code, content)
        return content, answer.headers.get("X-Trace-Id", "")

    def send(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """One call; returns whatever was answered."""
        return self._session().request(method, self.url + path, json=body, params=query, headers=headers, timeout=60)

    def get(self, path: str, **query: str | int) -> Json:
        """GET."""
        return self.call("GET", path, None, **query)

    def post(self, path: str, body: Json | None = None, **query: str | int) -> Json:
        """POST."""
        return self.call("POST", path, body or {}, **query)

    def pages(self, path: str, field: str, **query: str | int) -> Iterator[Json]:
        """All items of a list, page by page."""
        token = ""
        while True:
            page = self.get(path, pageSize=1000, **query, **({"pageToken": token} if token else {}))
            yield from page.get(field, [])
            token = page.get("nextPageToken", "")
            if not token:
                return

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.headers.update(self.headers)
            # Neither proxies nor passwords of the machine, which are looked up anew for every call.
            self._local.session.trust_env = False
        session: requests.Session = self._local.session
        return session


def patiently(send: Callable[[], requests.Response]) -> requests.Response:
    """Sends until the answer is other than 429, waiting as long as each refusal asks for. Raises HTTPError."""
    while (answer := send()).status_code == requests.codes.too_many_requests:
        time.sleep(float(answer.headers.get("Retry-After", 1)))
    answer.raise_for_status()
    return answer


def wait_for(condition: Callable[[], T], what: str, timeout: float = 120.0, pause: float = 0.2) -> T:
    """The condition's first true value, looked for every `pause` seconds.

    Raises TimeoutError naming `what` after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout:g} s: {what}")
        time.sleep(pause)
