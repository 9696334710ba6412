"""The ready file: where everything is, once all of it answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "ready.json"
"""In the data folder, for as long as something runs on it."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """URLs that any client can use."""

    admin: str
    edge: str
    database_url: str
    redis_url: str

    def as_fields(self) -> dict[str, str]:
        return {"admin": self.admin, "edge": self.edge, "databaseUrl": self.database_url, "redisUrl": self.redis_url}


def write_ready(path: Path, fields: Mapping[str, str]) -> None:
    """JSON, at once or not at all, and only for our eyes: the database URL has a password."""
    part = path.with_name(path.name + ".part")
    part.touch(mode=0o600)
    part.write_text(json.dumps(dict(fields)))
    part.replace(path)


def running_fields(data_dir: Path) -> dict[str, str]:
    """The ready file's fields of what runs on this data folder now; empty when nothing does."""
    try:
        return dict(json.loads((data_dir / FILE_NAME).read_text()))
    except (OSError, ValueError):
        return {}
