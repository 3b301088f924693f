"""Refusals, with the code that gRPC and REST clients see."""

from stn_tf.errors import StnError
from stn_tf.serving.protocol.enums import CODES

MESSAGE_LIMIT = 1024

# TensorFlow Serving's table of gRPC codes and HTTP statuses.
HTTP = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
}


class Status(StnError):
    """A request that is refused or failed; gRPC and REST send the same text.

    Attributes:
        code: The gRPC code's name, such as `"INVALID_ARGUMENT"`.
        message: The text, at most 1,024 characters.
    """

    def __init__(self, code: str, message: str) -> None:
        if code not in CODES or code == "OK":
            raise ValueError(f"`code` must be a gRPC code of an error, but it is {code!r}.")
        self.code = code
        self.message = message[:MESSAGE_LIMIT]
        super().__init__(self.message)

    @property
    def number(self) -> int:
        """The code as a number, as gRPC sends it."""
        return CODES[self.code]

    @property
    def http(self) -> int:
        """The HTTP status of the answer."""
        return HTTP[self.code]

    def __reduce__(self) -> tuple[type["Status"], tuple[str, str]]:
        return type(self), (self.code, self.message)


def invalid(message: str) -> Status:
    """Returns the status of a request that is wrong whatever the state of the server."""
    return Status("INVALID_ARGUMENT", message)
