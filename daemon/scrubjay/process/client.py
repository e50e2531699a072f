"""A client of the daemon, for programs that ask one thing after another. Imports only what is quick to import."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from scrubjay.errors import DaemonError, RequestError
from scrubjay.loopback import PROOF_S
from scrubjay.process.peer import connect

Json = dict[str, Any]


class Client:
    """Asks the daemon that listens on the socket at `path`; each request has a connection of its own.

    Args:
        timeout_s: how long the daemon may be silent; None for as long as it likes.

    Raises:
        DaemonError: from every method: no daemon of this user answers.
        RequestError: from every method: the daemon refuses the request; its sentence and status.
    """

    def __init__(self, path: Path | str, timeout_s: float | None = None) -> None:
        self.path = Path(path)
        self._timeout_s = timeout_s

    def get(self, route: str, **query: str) -> Json:
        """The answer to `GET /api/<route>`."""
        return self._ask("GET", f"{route}?{urlencode(query)}" if query else route, None)

    def post(self, route: str, body: Mapping[str, object]) -> Json:
        """The answer to `POST /api/<route>`."""
        return self._ask("POST", route, body)

    def stream(self, route: str, body: Mapping[str, object]) -> Iterator[Json]:
        """The lines of a streamed answer as they come; to leave early, close the iterator: that ends the request."""
        with self._answer("POST", route, body) as response:
            for line in response:
                item = json.loads(line)
                if "error" in item:
                    raise _refusal(item)
                yield item

    def events(self) -> Iterator[Json]:
        """What happens in the daemon from now on; the first event is its state. Ends with the daemon."""
        with self._answer("GET", "events", None) as response:
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

    def wait_until_ready(self) -> Iterator[Json]:
        """States of a loading model, until it is loaded; one that is unloaded for now loads as soon as it is wanted.

        Raises:
            DaemonError: it cannot be loaded; the daemon's sentence.
        """
        for event in self.events():
            if event["type"] != "state":
                continue
            if event["state"] in ("ready", "unloaded"):
                return
            if event["state"] == "failed":
                raise DaemonError(event["message"])
            yield event
        raise self._gone()

    def _ask(self, method: str, route: str, body: Mapping[str, object] | None) -> Json:
        with self._answer(method, route, body) as response:
            answer: Json = json.loads(response.read())
        return answer

    @contextmanager
    def _answer(self, method: str, route: str, body: Mapping[str, object] | None) -> Iterator[HTTPResponse]:
        connection = HTTPConnection("localhost")
        try:
            connection.sock, headers = connect(self.path, self._timeout_s)
            content = None if body is None else json.dumps(body).encode("ascii")
            connection.request(method, f"/api/{route}", content, headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise _refusal(json.loads(response.read()))
            yield response
        except TimeoutError as error:
            raise DaemonError(
                f"The daemon on {self.path} has said nothing for {self._timeout_s or PROOF_S:g} s."
            ) from error
        except (OSError, HTTPException, ValueError) as error:
            raise self._gone() from error
        finally:
            connection.close()

    def _gone(self) -> DaemonError:
        return DaemonError(f"No daemon answers on {self.path}; `scrubjay start` starts one.")


def _refusal(answer: Json) -> RequestError:
    error = answer["error"]
    return RequestError(error["message"], error["code"], error["type"])
