"""The one error of a request, whatever the protocol."""

import json

from stn_tf.serving.protocol.status import HTTP, Status

_CURES = {
    "UNAVAILABLE": "Check the address, and that the server runs.",
    "DEADLINE_EXCEEDED": "Allow more time with `timeout`, or send less at once.",
    "NOT_FOUND": "Ask for the status to see what is served.",
    "INVALID_ARGUMENT": "Ask for the metadata to see what the model takes.",
    "FAILED_PRECONDITION": "Ask for the metadata to see what the model takes.",
    "UNAUTHENTICATED": "Give a key of the server as `api_key`.",
    "RESOURCE_EXHAUSTED": "Send less at once, or later.",
    "DATA_LOSS": "Check that a model server is at this address.",
    "INTERNAL": "See the log of the server.",
}
# Of codes with the same status, the usual one; and what only stands before a server sends.
_CODES = {http: code for code, http in reversed(HTTP.items())} | {
    413: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
}
_SHOWN_CHARACTERS = 200


class RequestError(Status):
    """A request that a server refused, or that did not reach one.

    Attributes:
        code: The gRPC code's name, such as `"NOT_FOUND"`. REST's 400 is `"INVALID_ARGUMENT"`.
        message: What the server said, or why it could not be asked.
        cure: What to do about it.
    """

    def __init__(self, code: str, message: str, cure: str = "") -> None:
        super().__init__(code, message)
        self.cure = cure or _CURES.get(code, "")

    def __str__(self) -> str:
        message = self.message.strip()
        end = "" if message.endswith((".", "!", "?")) else "."
        return f"{self.code}: {message}{end} {self.cure}".strip()

    def __reduce__(self) -> tuple[type["RequestError"], tuple[str, str, str]]:  # type: ignore[override]
        return type(self), (self.code, self.message, self.cure)


def http_error(status: int, body: bytes) -> RequestError:
    """Returns the error of an HTTP answer that is not 200: `{"error": ...}`, or any text."""
    text = body.decode(errors="replace")
    try:
        text = json.loads(text)["error"]
    except (ValueError, TypeError, KeyError):
        text = " ".join(text.split())[:_SHOWN_CHARACTERS]
    code = _CODES.get(status, "INVALID_ARGUMENT" if 400 <= status < 500 else "UNKNOWN")
    return RequestError(code, str(text) or f"The server answered HTTP {status}")


def no_answer(url: str, why: str) -> RequestError:
    """Returns the error of a request over HTTP that a server did not answer."""
    return RequestError("UNAVAILABLE", f"{url} does not answer: {' '.join(why.split())}")


def timed_out(url: str) -> RequestError:
    """Returns the error of a request over HTTP whose time is over."""
    return RequestError("DEADLINE_EXCEEDED", f"{url} did not answer in time")
