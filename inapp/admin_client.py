"""Calling the admin API as any client would."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any


class AdminError(RuntimeError):
    """A refused call; the message has the answer."""


@dataclass(frozen=True, slots=True)
class AdminClient:
    """`url`: the org's own, `…/api/v1/orgs/{orgId}`."""

    url: str
    secret_key: str

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer's `data`. Raises AdminError."""
        request = urllib.request.Request(  # noqa: S310 - always our own http address
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "X-API-Key": self.secret_key},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as error:
            raise AdminError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None
