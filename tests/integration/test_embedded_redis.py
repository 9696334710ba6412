import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from redis import Redis

from inapp.embedded import DataDirInUseError, EmbeddedRedis, EmbeddedServerError
from inapp.embedded.processes import command_line
from tests.support.polling import eventually
from tests.support.processes import Process, Processes


def test_a_fresh_start_serves_any_client_and_evicts_nothing(own_redis: EmbeddedRedis) -> None:
    with Redis.from_url(own_redis.url) as client:
        assert client.set("key", "value")
        assert client.get("key") == b"value"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("bind")["bind"] == "127.0.0.1"


def test_a_second_start_keeps_data_and_port(own_redis: EmbeddedRedis) -> None:
    url = own_redis.url
    with Redis.from_url(url) as client:
        client.set("kept", "42")
    own_redis.stop()
    assert own_redis.start() == url
    with Redis.from_url(url) as client:
        assert client.get("kept") == b"42"


def test_a_killed_server_comes_back_with_what_was_synced(own_redis: EmbeddedRedis) -> None:
    with Redis.from_url(own_redis.url) as client:
        client.set("kept", "42")
        assert client.execute_command("WAITAOF", 1, 0, 5000) == [1, 0]
    os.kill(own_redis.pid, signal.SIGKILL)
    own_redis.stop()
    own_redis.start()
    with Redis.from_url(own_redis.url) as client:
        assert client.get("kept") == b"42"


def test_without_durability_nothing_is_written_to_disk(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir / "redis", durable=False) as server:
        with Redis.from_url(server.url) as client:
            client.set("lost", "42")
        server.stop()
        server.start()
        with Redis.from_url(server.url) as client:
            assert client.dbsize() == 0


def test_a_port_taken_meanwhile_is_replaced(own_redis: EmbeddedRedis) -> None:
    port = own_redis.port
    own_redis.stop()
    with socket.create_server(("127.0.0.1", port)):
        assert f":{port}/" not in own_redis.start()


def test_a_second_owner_of_the_data_is_refused_and_the_first_goes_on(own_redis: EmbeddedRedis) -> None:
    with pytest.raises(DataDirInUseError, match="in use by another running process"):
        EmbeddedRedis(own_redis.data_dir).start()
    with pytest.raises(DataDirInUseError):
        own_redis.start()
    with Redis.from_url(own_redis.url) as client:
        assert client.ping()


def test_a_server_left_over_by_a_killed_process_is_stopped_and_its_data_kept(
    data_dir: Path, processes: Processes
) -> None:
    place = data_dir / "redis"
    owner = processes.start(
        "redis",
        str(place),
        command=(sys.executable, "-m", "tests.support.leftover"),
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    pid = eventually(lambda: started_pid(owner), 30)
    port = int((place / "port").read_text())
    with Redis(port=port) as client:
        client.set("kept", "42")
    owner.kill()
    assert "valkey-server" in command_line(pid)
    with EmbeddedRedis(place) as server:
        assert server.pid != pid
        assert command_line(pid) == ""
        with Redis.from_url(server.url) as client:
            assert client.get("kept") == b"42"


def started_pid(owner: Process) -> int:
    said = owner.output.partition("started ")[2]
    return int(said) if said.endswith("\n") else 0


def test_a_failed_start_shows_the_log_and_says_what_to_do(data_dir: Path) -> None:
    place = data_dir / "redis"
    place.mkdir()
    (place / "appendonlydir").write_text("a file where a folder should be")
    with pytest.raises(EmbeddedServerError) as caught:
        EmbeddedRedis(place).start()
    assert "appendonlydir" in str(caught.value)
    assert "REDIS_URL" in str(caught.value)
