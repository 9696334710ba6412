"""Keyset paging: a cursor holds the last item's place in the order."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Row, Select, tuple_

from admin.answers import Page
from admin.errors import refused
from admin.fields import Sound, read_id
from wire import codec, plain

T = TypeVar("T")

Place = tuple[int, UUID]
"""Of an item among those that are sorted by their making, the newest first."""

_INT64 = range(-(2**63), 2**63)


class PageQuery(BaseModel):
    """`?cursor&limit`; an unknown parameter is refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    cursor: Annotated[str, Field(max_length=2_000, description="`nextCursor` of the page before"), Sound] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


def encode_cursor(*place: int | str) -> str:
    return base64.urlsafe_b64encode(codec.to_json(list(place))).decode().rstrip("=")


def read_place(cursor: str | None) -> Place | None:
    """Raises ApiError 422."""
    match _decoded(cursor):
        case None:
            return None
        case [int(created_ms), str(text)] if created_ms in _INT64 and (id_ := read_id(text)):
            return created_ms, id_
    raise _invalid_cursor()


def read_subject(cursor: str | None) -> str | None:
    """Raises ApiError 422."""
    match _decoded(cursor):
        case None:
            return None
        case [str(subject)] if plain.text_flaw(subject) is None:
            return subject
    raise _invalid_cursor()


def newest_first(
    query: Select[Any], created_ms: ColumnElement[int], id_: ColumnElement[Any], after: Place | None, limit: int
) -> Select[Any]:
    """One item more than `limit`, so that `page` sees whether there is another page."""
    if after is not None:
        query = query.where(tuple_(created_ms, id_) < after)
    return query.order_by(created_ms.desc(), id_.desc()).limit(limit + 1)


def place_of(row: Row[Any]) -> str:
    return encode_cursor(row.created_ms, str(row.id))


def page(
    rows: Sequence[Row[Any]], limit: int, show: Callable[[Row[Any]], T], cursor_of: Callable[[Row[Any]], str] = place_of
) -> Page[T]:
    shown = rows[:limit]
    return Page(items=[show(row) for row in shown], next_cursor=cursor_of(shown[-1]) if len(rows) > limit else None)


def _decoded(cursor: str | None) -> Any:
    if cursor is None:
        return None
    try:
        return codec.from_json(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise _invalid_cursor() from None


def _invalid_cursor() -> Exception:
    return refused("/query/cursor", "invalid_cursor", "Give the nextCursor of the page before, as it came.")
