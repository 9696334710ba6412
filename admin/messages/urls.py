"""Which URLs a message may carry: an allow-list, since they are opened on the devices of an org's customers."""

import re
import unicodedata
from collections.abc import Set
from urllib.parse import urlsplit

from wire.plain import Flaw

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_BAD_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})
"""Unicode's controls, invisible formatting, surrogates and separators."""
_PLAIN_SCHEMES = frozenset({"mailto", "tel"})


_CHARACTERS = Flaw(
    "invalid_url", "A URL has no spaces, control characters or backslashes; encode them with %, as in %20."
)
_NO_SCHEME = Flaw("invalid_url", "Give a whole URL with its scheme, like https://example.com/pricing.")
_HTTPS_ONLY = Flaw("url_scheme_not_allowed", "Use https here.")
_NOT_LISTED = Flaw(
    "url_scheme_not_allowed",
    "Use https, mailto, tel, http for localhost, or a scheme in the org's appSchemes.",
)
_USERINFO = Flaw("url_userinfo", "Leave out what stands before '@'; a URL must not carry a user name or password.")
_BAD_HOST = Flaw("invalid_url", "The URL needs a valid host name after '//'.")
_EMPTY = Flaw("invalid_url", "Something must follow the scheme.")


def link_flaw(url: str, app_schemes: Set[str]) -> Flaw | None:
    """What makes a call to action's URL unfit; None when it may be opened."""
    scheme = scheme_of(url)
    if _has_bad_character(url):
        return _CHARACTERS
    if scheme is None:
        return _NO_SCHEME
    if scheme in ("https", "http"):
        return _web_flaw(url, scheme)
    if scheme not in _PLAIN_SCHEMES and scheme not in app_schemes:
        return _NOT_LISTED
    return _rest_flaw(url[len(scheme) + 1 :])


def image_flaw(url: str) -> Flaw | None:
    """https only: an image is loaded without anybody's click."""
    if _has_bad_character(url):
        return _CHARACTERS
    return _web_flaw(url, "https") if scheme_of(url) == "https" else _HTTPS_ONLY


def scheme_of(url: str) -> str | None:
    match = _SCHEME.match(url)
    return match[1].lower() if match else None


def _has_bad_character(url: str) -> bool:
    return any(character == "\\" or unicodedata.category(character) in _BAD_CATEGORIES for character in url)


def _web_flaw(url: str, scheme: str) -> Flaw | None:
    if not url[len(scheme) :].startswith("://"):
        return _BAD_HOST
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return _BAD_HOST
    if "@" in parts.netloc:
        return _USERINFO
    if host is None or not _HOST.fullmatch(host):
        return _BAD_HOST
    return _NOT_LISTED if scheme == "http" and host not in _LOCAL_HOSTS else None


def _rest_flaw(rest: str) -> Flaw | None:
    if not rest:
        return _EMPTY
    authority = re.split(r"[/?#]", rest[2:], maxsplit=1)[0] if rest.startswith("//") else ""
    return _USERINFO if "@" in authority else None
