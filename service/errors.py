"""Errors that carry their HTTP answer."""

from collections.abc import Mapping, Sequence

from wire.problems import Problem


class ApiError(Exception):
    """Answered in the failure envelope with `status`; `code` is stable, `message` is for people and holds no secret."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.headers = headers


def invalid_payload(details: Sequence[Problem]) -> ApiError:
    """422 with every problem of the payload; pointers as in RFC 6901, from the body's root."""
    return ApiError(422, "invalid_payload", "The payload has errors; see details.", details=details)
