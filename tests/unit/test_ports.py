import socket
from pathlib import Path

from inapp.embedded.ports import candidates, free_port, is_free


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not is_free(listener.getsockname()[1])


def test_free_ports_lie_below_those_handed_out_to_clients() -> None:
    assert all(20_000 <= free_port() < 32_768 for _ in range(50))


def test_the_kept_port_comes_first(tmp_path: Path) -> None:
    kept = tmp_path / "port"
    port = free_port()
    kept.write_text(f"{port}\n")
    ports = list(candidates(kept, 3))
    assert ports[0] == port
    assert len(ports) == 3


def test_a_kept_port_that_is_taken_is_passed_over(tmp_path: Path) -> None:
    kept = tmp_path / "port"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        kept.write_text(f"{taken}\n")
        assert taken not in list(candidates(kept, 3))


def test_without_a_kept_port_or_with_a_broken_one_free_ports_are_proposed(tmp_path: Path) -> None:
    assert len(list(candidates(tmp_path / "none", 2))) == 2
    (tmp_path / "port").write_text("not a port")
    assert len(list(candidates(tmp_path / "port", 2))) == 2
