"""Servers measured one after the other in each round, so that what else happens on the machine meets all of them."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple, TypeVar

from bench.load.connection import Connection
from bench.load.latency import Latency, distribution
from bench.load.openloop import all_at_once, play, schedule_ns
from bench.load.saturation import CONNECTIONS, Replay, Saturation, Saturations, saturate, write_replay
from bench.servers.cores import on
from bench.servers.stage import Stage
from bench.servers.started import ANSWER_PATH, PYTHON, Server, nginx, python_baseline
from bench.servers.tools import find
from bench.world.http import get

T = TypeVar("T")

_SAMPLE: Final = 200


class Contestant(NamedTuple):
    """A server, and what it is asked: the same requests for wrk and for us."""

    name: str
    server: Server
    requests: Sequence[bytes]
    replay: Replay


class Between(NamedTuple):
    """Other requests, never used up, that are sent among those that are timed."""

    requests: Iterator[bytes]
    per_s: float


def contestant(
    stage: Stage, server: Server, requests: Sequence[bytes], *, name: str | None = None, numbered: bool = False
) -> Contestant:
    replay = write_replay(stage.new_folder(), requests, numbered=numbered)
    return Contestant(name or server.name, server, requests, replay)


@contextmanager
def baselines(
    stage: Stage, answer: bytes, requests: Sequence[bytes], names: Sequence[str] = ("nginx", *PYTHON)
) -> Iterator[list[Contestant]]:
    """Those that this machine has, each giving `answer`; nginx by a GET with the headers of the first request."""
    core = stage.cores.server
    with ExitStack() as stack:
        found = []
        if "nginx" in names and find("nginx"):
            server = stack.enter_context(nginx(stage.new_folder(), answer, core))
            found.append(contestant(stage, server, [get(ANSWER_PATH, _key(requests[0]))]))
        for name in (each for each in PYTHON if each in names):
            server = stack.enter_context(python_baseline(name, stage.new_folder(), answer, core))
            found.append(contestant(stage, server, requests))
        yield found


def _key(request: bytes) -> str:
    return request.partition(b"X-API-Key: ")[2].partition(b"\r\n")[0].decode()


def in_turn(items: Sequence[T], number: int) -> Sequence[T]:
    """In every other round the other way round, so that no one always comes first."""
    return items if number % 2 == 0 else items[::-1]


def saturations(stage: Stage, contestants: Sequence[Contestant], number: int) -> Saturations:
    """One round."""
    return {each.name: saturated(stage, each) for each in in_turn(contestants, number)}


def saturated(stage: Stage, each: Contestant) -> Saturation:
    """After a warm-up."""
    if stage.scale.warm_up_s:
        saturate(each.server, each.replay, stage.scale.warm_up_s, stage.cores)
    return saturate(each.server, each.replay, stage.scale.seconds, stage.cores)


def latency(stage: Stage, each: Contestant, rate_per_s: float, between: Between | None = None) -> Latency:
    """Of its requests at that rate, after a warm-up at the same."""
    with on(stage.cores.generator):
        if stage.scale.warm_up_s:
            _timed(each, rate_per_s, stage.scale.warm_up_s, between)
        return _timed(each, rate_per_s, stage.scale.seconds, between)


def _timed(each: Contestant, rate_per_s: float, seconds: float, between: Between | None) -> Latency:
    due_ns = schedule_ns(rate_per_s + (between.per_s if between else 0.0), seconds)
    every = max(round(rate_per_s / between.per_s), 1) + 1 if between else 0
    requests = each.requests if between is None else _with_others(each.requests, between.requests, every, len(due_ns))
    played = play(each.server.port, requests, due_ns, CONNECTIONS)
    took_ns = played.took_ns
    counted = took_ns if between is None else [ns for place, ns in enumerate(took_ns) if place % every]
    return Latency(rate_per_s, distribution(counted), distribution(played.late_ns))


def _with_others(requests: Sequence[bytes], others: Iterator[bytes], every: int, count: int) -> list[bytes]:
    """Another one first, and then in every such place."""
    return [requests[place % len(requests)] if place % every else next(others) for place in range(count)]


def ask_all(stage: Stage, each: Contestant) -> float:
    """Every request once; mean bytes of an answer's body. Brings whatever they need into memory."""
    with on(stage.cores.generator):
        played = play(each.server.port, each.requests, all_at_once(len(each.requests)), CONNECTIONS)
    return sum(played.bytes) / len(played.bytes)


def typical_answer(stage: Stage, each: Contestant) -> bytes:
    """A real answer, made as long as the mean one, after every request has been sent once."""
    mean = round(ask_all(stage, each))
    answers = asyncio.run(_answers(each))
    shorter = [answer for answer in answers if len(answer) <= mean] or [min(answers, key=len)]
    return max(shorter, key=len).ljust(mean)


async def _answers(each: Contestant) -> list[bytes]:
    """To the first requests."""
    async with Connection(each.server.url) as connection:
        return [await connection.send(request) for request in each.requests[:_SAMPLE]]
