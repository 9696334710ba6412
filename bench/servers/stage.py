"""What every part stands on: the cores, Redis with the workload in it, folders, and how much of everything."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

from bench.servers.beside import give_way
from bench.servers.cores import Cores, choose_cores, on
from bench.servers.progress import say
from bench.servers.started import Server, edge
from bench.world.published import World, put
from bench.world.workload import workload
from inapp.embedded import EmbeddedRedis

Size = Literal["tiny", "full"]
"""`tiny` only shows that the harness works; figures worth reading come from `full`."""


class Scale(NamedTuple):
    """`messages` of the workload; `few` and `many` of the ones that show how cost grows, with `fewer` customers.

    `requests`: prepared ones, replayed in turn. `seconds` of one measurement, `warm_up_s` before it.
    """

    messages: int
    few: int
    many: int
    customers: int
    fewer: int
    requests: int
    seconds: float
    warm_up_s: float


SCALES: Final[Mapping[Size, Scale]] = {
    "tiny": Scale(40, 10, 80, 60, 30, 200, 0.5, 0.0),
    "full": Scale(1_000, 10, 10_000, 100_000, 20_000, 100_000, 3.0, 1.0),
}
ROUNDS: Final[Mapping[Size, int]] = {"tiny": 1, "full": 5}


@dataclass(slots=True)
class Stage:
    """A context manager. `rounds` and `profile` as asked for on the command line; profiles go into `results`."""

    size: Size
    rounds: int
    profile: bool
    folder: Path
    results: Path
    cores: Cores = field(default_factory=choose_cores)
    _redis: EmbeddedRedis | None = None
    _worlds: dict[tuple[int, int], World] = field(default_factory=dict)
    _folders: int = 0
    _databases: int = 0
    _exit: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    @property
    def scale(self) -> Scale:
        return SCALES[self.size]

    def new_folder(self) -> Path:
        """The name of one that is not there yet."""
        self._folders += 1
        return self.folder / str(self._folders)

    def new_database(self) -> str:
        """The URL of an empty database of the bench's Redis, which gives way to generators."""
        if self._redis is None:
            self._redis = EmbeddedRedis(self.new_folder(), durable=False)
            with on(self.cores.generator):
                self._exit.enter_context(self._redis)
            give_way(self._redis.pid)
        self._databases += 1
        return self._redis.url.removesuffix("/0") + f"/{self._databases}"

    def world(self, messages: int, customers: int) -> World:
        """Made once, for all parts that ask for it."""
        if (messages, customers) not in self._worlds:
            say(f"An org with {messages:,} messages and {customers:,} customers")
            self._worlds[messages, customers] = self.new_world(messages, customers)
        return self._worlds[messages, customers]

    def new_world(self, messages: int, customers: int) -> World:
        """One that nothing has happened in yet."""
        made = World(workload(messages), customers, self.new_database())
        asyncio.run(put(made))
        return made

    @contextmanager
    def edge(self, world: World, **settings: str) -> Iterator[Server]:
        """On the server core. `settings`: beyond those that an edge begins with."""
        quiet = {"INAPP_LOG_LEVEL": "warning"}
        with edge(self.new_folder(), world.redis_url, self.cores.server, quiet | settings) as server:
            yield server

    def each_round(self, name: str) -> Iterator[int]:
        """Their numbers; says of each that it begins."""
        for number in range(self.rounds):
            say(f"{name}: round {number + 1} of {self.rounds}")
            yield number
