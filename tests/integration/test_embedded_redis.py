from pathlib import Path

from redis import Redis

from inapp.embedded import EmbeddedRedis


def test_a_fresh_start_serves_any_client_and_evicts_nothing(own_redis: EmbeddedRedis) -> None:
    with Redis.from_url(own_redis.url) as client:
        assert client.set("key", "value")
        assert client.get("key") == b"value"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("bind")["bind"] == "127.0.0.1"


def test_without_durability_nothing_is_written_to_disk(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir / "redis", durable=False) as server:
        with Redis.from_url(server.url) as client:
            client.set("lost", "42")
        server.stop()
        server.start()
        with Redis.from_url(server.url) as client:
            assert client.dbsize() == 0
