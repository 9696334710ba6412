"""Real servers out of wheels, for machines that have no Postgres and no Redis of their own."""

from inapp.embedded.postgres import EmbeddedPostgres
from inapp.embedded.redis import EmbeddedRedis
from inapp.embedded.server import DataDirInUseError, EmbeddedServer, EmbeddedServerError

__all__ = ["DataDirInUseError", "EmbeddedPostgres", "EmbeddedRedis", "EmbeddedServer", "EmbeddedServerError"]
