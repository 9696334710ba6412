"""Whose request it is: the public key names the org, and an identity token proves the user."""

import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from edge.bundles import Bundles, Org, OrgUnavailableError
from service.errors import ApiError
from wire import apikeys
from wire.apikeys import ApiKey
from wire.bundle import Settings
from wire.intake import Verify

TOKEN_MISSING = "identity_token_missing"  # noqa: S105
TOKEN_INVALID = "identity_token_invalid"  # noqa: S105
_BEARER = "bearer "
_LONGEST_KEY = 128


def sent_key(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """The key as it came outside the body: X-API-Key, Authorization: Bearer, `?apiKey=`. Header names in lower case."""
    if key := headers.get("x-api-key"):
        return key
    authorization = headers.get("authorization", "")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return query.get("apiKey")


def body_key(body: object) -> str | None:
    """`apiKey` of a JSON body, for browsers that avoid a preflight."""
    key = body.get("apiKey") if isinstance(body, dict) else None
    return key if isinstance(key, str) else None


async def admit(bundles: Bundles, key: str | None) -> Org:
    """Raises ApiError: 401 without a live public key, 403 for a secret one, 503 when nobody can tell."""
    parsed = _public(key)
    try:
        org = bundles.org(parsed.org_id) or await bundles.find(parsed.org_id)
    except OrgUnavailableError:
        message = "This org cannot be served at the moment; try again."
        raise ApiError(503, "org_unavailable", message, headers={"Retry-After": "1"}) from None
    return _admitted(parsed, org)


def admit_at_once(bundles: Bundles, key: str | None) -> Org | None:
    """`admit` where the org is loaded; None: it has to be."""
    parsed = _public(key)
    org = bundles.org(parsed.org_id)
    return None if org is None else _admitted(parsed, org)


def _public(key: str | None) -> ApiKey:
    parsed = _parse_public(key) if key and len(key) <= _LONGEST_KEY else None
    if parsed is not None:
        return parsed
    if key is not None and key.startswith("sk_") and key.isascii() and apikeys.parse(key) is not None:
        raise ApiError(
            403, "secret_key_in_client", "This is a secret key. Use a public key (pk_…) in apps, and rotate this one."
        )
    raise _unknown_key()


def _admitted(parsed: ApiKey, org: Org | None) -> Org:
    if org is None or parsed.digest not in org.table.keys:
        raise _unknown_key()
    return org


@lru_cache(maxsize=4_096)
def _parse_public(key: str) -> ApiKey | None:
    """Public keys are few, and each comes with every request of its apps."""
    return apikeys.parse(key) if key.startswith("pk_") and key.isascii() else None


def _unknown_key() -> ApiError:
    return ApiError(
        401, "invalid_api_key", "Send a live public key (pk_…) as X-API-Key, Authorization: Bearer or apiKey."
    )


def token_problem(settings: Settings, user_id: str, token: Any) -> str | None:
    """None when the user may be acted for, else TOKEN_MISSING or TOKEN_INVALID."""
    if not settings.require_identity_token:
        return None
    if token is None or token == "":
        return TOKEN_MISSING
    if not isinstance(token, str) or not token.isascii() or settings.identity_secret is None:
        return TOKEN_INVALID
    return None if hmac.compare_digest(identity_token(settings.identity_secret, user_id), token) else TOKEN_INVALID


def identity_token(secret: str, user_id: str) -> str:
    """What an app's own server makes for its signed-in user: lowercase hex of HMAC-SHA256."""
    return hmac.new(secret.encode(), user_id.encode(), hashlib.sha256).hexdigest()


def verifier(settings: Settings) -> Verify:
    return lambda user_id, token: token_problem(settings, user_id, token)
