"""Ids in paths."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path

from admin.errors import not_found
from admin.fields import read_id


async def _path_id(text: Annotated[str, Path(alias="id", json_schema_extra={"format": "uuid"})]) -> UUID:
    found = read_id(text)
    if found is None:
        raise not_found()
    return found


PathId = Annotated[UUID, Depends(_path_id)]
"""`{id}`; what is no id is answered as one that does not exist."""
