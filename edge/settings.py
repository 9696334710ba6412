"""What the environment says about an edge."""

from pathlib import Path

from pydantic import Field

from service.settings import Port, RedisSettings


class EdgeSettings(RedisSettings):
    """`edge_dir`: this edge's own folder, for its spool and its last good bundles. No two edges share one.

    `workers`: processes that serve the port together. The two sizes are for each of them.
    """

    port: Port = 8701
    edge_dir: Path = Path(".inapp/edge")
    workers: int = Field(1, ge=1, le=64)
    spool_max_bytes: int = Field(256 * 1024 * 1024, ge=1024)
    user_cache_bytes: int = Field(144 * 1024 * 1024, ge=0)
