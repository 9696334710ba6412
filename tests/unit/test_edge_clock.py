"""The corrected clock follows the server and never goes back."""

import random

from edge.clock import CorrectedClock

MS = 1_000_000


class World:
    """A wall clock that may be wrong, a monotonic one, and a server that is right."""

    def __init__(self, wall_ms: int) -> None:
        self.monotonic_ns = 5 * MS
        self.server_ns = 1_000_000 * MS
        self.clock = CorrectedClock(lambda: wall_ms * MS, lambda: self.monotonic_ns)

    def advance(self, ms: int) -> None:
        self.monotonic_ns += ms * MS
        self.server_ns += ms * MS

    def sync(self, there_ms: int = 0, back_ms: int = 0) -> None:
        sent_ns = self.monotonic_ns
        self.advance(there_ms)
        server_ns = self.server_ns
        self.advance(back_ms)
        self.clock.correct(server_ns, sent_ns, self.monotonic_ns)

    def server_ms(self) -> int:
        return self.server_ns // MS


def test_before_the_first_sync_it_shows_the_wall_clock_and_time_since() -> None:
    world = World(wall_ms=123)
    assert world.clock.now_ms() == 123
    world.advance(7)
    assert world.clock.now_ms() == 130


def test_after_a_sync_it_shows_the_servers_time_whatever_the_wall_clock_says() -> None:
    world = World(wall_ms=9_000_000)
    world.sync()
    world.advance(250)
    assert world.clock.now_ms() == world.server_ms()


def test_half_the_round_trip_is_taken_for_the_way_back() -> None:
    world = World(wall_ms=0)
    world.sync(there_ms=20, back_ms=20)
    assert world.clock.now_ms() == world.server_ms()


def test_it_catches_up_at_once() -> None:
    world = World(wall_ms=0)
    assert world.clock.now_ms() == 0
    world.sync()
    assert world.clock.now_ms() == world.server_ms()


def test_it_loses_a_lead_without_going_back() -> None:
    world = World(wall_ms=1_000_400)
    before = world.clock.now_ms()
    world.sync()
    assert world.clock.now_ms() == before
    world.advance(400)
    assert world.clock.now_ms() == before + 200
    world.advance(400)
    assert world.clock.now_ms() == world.server_ms()
    world.advance(400)
    assert world.clock.now_ms() == world.server_ms()


def test_a_slow_answer_is_not_believed() -> None:
    world = World(wall_ms=0)
    world.sync()
    world.sync(there_ms=0, back_ms=10_000)
    assert world.clock.now_ms() == world.server_ms()


def test_it_is_monotone_whatever_the_server_says() -> None:
    chance = random.Random(7)
    world = World(wall_ms=1_000_000)
    world.sync()
    last = world.clock.now_ms()
    for _ in range(2_000):
        world.advance(chance.randrange(5))
        if chance.random() < 0.1:
            world.server_ns += chance.randrange(-2_000, 1_000) * MS
            world.sync(chance.randrange(3), chance.randrange(3))
        now = world.clock.now_ms()
        assert now >= last
        last = now
