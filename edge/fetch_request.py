"""What a fetch asks, as JSON or as a query."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from edge.answers import read_json
from engine.decide import ANYWHERE, Context, Occasion
from service.errors import ApiError, invalid_payload
from wire import codec, plain, problems, subjects
from wire.intake import PROPERTIES_MAX_BYTES, TOO_LARGE, event_type_flaw
from wire.plain import Flaw
from wire.problems import Problem, child_pointer

URL_MAX_CHARACTERS = 8_192
SCREEN_MAX_CHARACTERS = 1_024
TOKEN_MAX_CHARACTERS = 1_024
ETAG_MAX_CHARACTERS = 128

_MOST_CHARACTERS = {
    "userId": subjects.ID_MAX_CHARACTERS,
    "anonymousId": subjects.ID_MAX_CHARACTERS,
    "identityToken": TOKEN_MAX_CHARACTERS,
    "url": URL_MAX_CHARACTERS,
    "screen": SCREEN_MAX_CHARACTERS,
    "etag": ETAG_MAX_CHARACTERS,
}
NO_TRAITS: Mapping[str, Any] = MappingProxyType({})
_TRUE = frozenset({"true", "1"})
_FALSE = frozenset({"false", "0", ""})


class FetchRequest(NamedTuple):
    user_id: str | None = None
    anonymous_id: str | None = None
    identity_token: str | None = None
    traits: Mapping[str, Any] = NO_TRAITS
    context: Context = ANYWHERE
    etag: str | None = None


def read_request(body: object) -> FetchRequest:
    """Unknown fields are ignored: SDKs are older or newer than this edge. Raises ApiError with every problem."""
    if not isinstance(body, dict):
        raise invalid_payload([Problem("", *problems.NO_OBJECT)])
    return _read_plain(body) if _is_plain(body) else _Reader(body, "").request()


def _is_plain(body: Mapping[str, object]) -> bool:
    """Whether no text and no flag can have a problem, as those of nearly all requests: printable, of a fair length."""
    for name, value in body.items():
        most = _MOST_CHARACTERS.get(name)
        if most is None:
            if name == "resolve" and type(value) is not bool:
                return False
        elif type(value) is not str or not 0 < len(value) <= most or not value.isprintable():
            return False
    return True


def _read_plain(body: Mapping[str, Any]) -> FetchRequest:
    get = body.get
    url, screen, resolve, traits, event = get("url"), get("screen"), get("resolve", False), NO_TRAITS, None
    if "traits" in body or "event" in body:
        reader = _Reader(body, "")
        traits, event = reader.object("traits"), reader.occasion("event")
        reader.end()
    context = Context(url, screen, event, resolve) if url or screen or resolve or event else ANYWHERE
    return FetchRequest(get("userId"), get("anonymousId"), get("identityToken"), traits, context, get("etag"))


def read_query(query: Mapping[str, str]) -> FetchRequest:
    """The same from a query: `traits` is JSON, `event` an event type or JSON as in a body, `resolve` true or false."""
    body: dict[str, Any] = dict(query)
    unreadable = []
    for name in ("traits", "event"):
        text = body.get(name, "")
        if name == "event" and not text.startswith("{"):
            body[name] = {"type": text} if text else None
            continue
        try:
            body[name] = read_json(text.encode("utf-8", "surrogatepass")) if text else None
        except ApiError:
            del body[name]
            unreadable.append(Problem(f"/query/{name}", "invalid_json", "Must be JSON."))
    resolve = body.get("resolve", "").lower()
    if resolve in _TRUE | _FALSE:
        body["resolve"] = resolve in _TRUE
    reader = _Reader(body, "/query")
    reader.problems += unreadable
    return reader.request()


class _Reader:
    """Reads fields of a body, collecting problems below `root`; null and the empty text mean absent."""

    def __init__(self, body: Mapping[str, Any], root: str) -> None:
        self._body = body
        self._root = root
        self.problems: list[Problem] = []

    def request(self) -> FetchRequest:
        """Raises ApiError."""
        request = FetchRequest(
            self.text("userId"),
            self.text("anonymousId"),
            self.text("identityToken"),
            self.object("traits"),
            Context(
                self.text("url"),
                self.text("screen"),
                self.occasion("event"),
                self.flag("resolve"),
            ),
            self.text("etag"),
        )
        self.end()
        return request

    def end(self) -> None:
        """Raises ApiError."""
        if self.problems:
            raise invalid_payload(self.problems)

    def text(self, name: str) -> str | None:
        value = self._body.get(name)
        if value is None or value == "":
            return None
        if flaw := problems.text_flaw(value, _MOST_CHARACTERS[name]):
            self._report(name, flaw)
            return None
        return str(value)

    def flag(self, name: str) -> bool:
        value = self._body.get(name)
        if not isinstance(value, bool | None):
            self._report(name, problems.NO_BOOLEAN)
        return value is True

    def object(self, name: str) -> Mapping[str, Any]:
        return self._plain_object(self._body.get(name), name)

    def occasion(self, name: str) -> Occasion | None:
        value = self._body.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self._report(name, problems.NO_OBJECT)
            return None
        type_ = value.get("type")
        if not isinstance(type_, str):
            self._report(f"{name}/type", problems.MISSING if type_ is None else problems.NO_TEXT)
            type_ = ""
        elif flaw := event_type_flaw(type_):
            self._report(f"{name}/type", flaw)
        return Occasion(type_, self._plain_object(value.get("properties"), f"{name}/properties"))

    def _plain_object(self, value: Any, name: str) -> Mapping[str, Any]:
        flaw = None if value is None else _object_flaw(value)
        if flaw:
            self._report(name, flaw)
        return {} if value is None or flaw else value

    def _report(self, name: str, flaw: Flaw) -> None:
        self.problems.append(Problem(child_pointer(self._root, *name.split("/")), *flaw))


def _object_flaw(value: object) -> Flaw | None:
    if not isinstance(value, dict):
        return problems.NO_OBJECT
    if flaw := plain.flaw(value):
        return flaw
    return TOO_LARGE if len(codec.to_json(value)) > PROPERTIES_MAX_BYTES else None
