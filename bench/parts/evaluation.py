"""How long the edge needs to find out which messages of workload W a customer may get, and to make its rules ready.

Customers come as they do from Redis, decoded anew each time: Python remembers nothing of their strings yet.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from time import process_time_ns
from typing import Final, NamedTuple, cast

from redis.asyncio import Redis

from bench.figures.rows import Row
from bench.servers.in_process import garbage_as_in_an_edge, held
from bench.servers.stage import Stage
from bench.world.audiences import NOW_MS, Shape, audiences
from bench.world.customers import user_id
from bench.world.workload import Workload, customer, workload
from edge.overlay import Overlay
from edge.people import People, Who
from edge.redis_server import RedisServer
from edge.users import Users
from engine.decide import Context, decide, person
from engine.rules import Membership, compile_rules, compiling
from engine.steps import finish
from engine.table import OrgTable
from wire import keys
from wire.rule_tree import Compare, InAudience, Rule, leaves
from wire.userstate import UserState

_GROUP: Final = 20
_TRIES: Final = 5
"""Of each few customers the quickest counts: what else runs on the machine only ever adds."""

_ROOM_BYTES: Final = 1024**3
_ANYWHERE: Final = Context()

States = Sequence[UserState]


def measure(stage: Stage) -> list[Row]:
    """Some seconds at `full`."""
    customers, rounds = (1_000, 5) if stage.size == "full" else (20, 1)
    made = workload(1_000 if stage.size == "full" else 50, now_ms=NOW_MS)
    people = [customer(made, number).encode() for number in range(customers)]
    table = held(made.compiled()).table
    with garbage_as_in_an_edge():
        rows = [*_customer_rows(made, table, people, rounds), _cached_row(made, table, people, rounds)]
    return [
        *rows,
        *_given_rows(table, people),
        *(row for count in ((200, 2_000) if stage.size == "full" else (20,)) for row in _compile_rows(count, rounds)),
    ]


def _customer_rows(made: Workload, table: OrgTable, people: Sequence[bytes], rounds: int) -> list[Row]:
    def audiences_of(states: States) -> None:
        for state in states:
            person(table, state, {}, NOW_MS)

    def messages_of(states: States) -> None:
        for state in states:
            decide(table, person(table, state, {}, NOW_MS), _ANYWHERE, NOW_MS)

    def row(name: str, work: Callable[[States], None], *, decoding: bool = False) -> Row:
        took = tuple(_customer_us(work, people, decoding=decoding) for _ in range(rounds))
        return Row(name, took, "µs of CPU", f"a customer; {what}")

    what = f"{len(table.messages):,} messages, {_what(made.rules)}"
    return [
        row("evaluation, first time", messages_of),
        row("evaluation, first time, decoded from Redis's bytes too", messages_of, decoding=True),
        row("evaluation, the audiences alone", audiences_of),
    ]


def _cached_row(made: Workload, table: OrgTable, states: Sequence[bytes], rounds: int) -> Row:
    """As an edge finds somebody again who has asked before."""
    everybody = [Who(made.org_id, user_id(number), None) for number in range(len(states))]
    people = asyncio.run(_met(everybody, states))

    def once() -> float:
        began = process_time_ns()
        for who in everybody:
            known = people.known(who, table, NOW_MS)
            if known is None:
                raise RuntimeError(f"{who.subject} is not in memory")
            known.may_get(table, NOW_MS)
        return (process_time_ns() - began) / len(everybody) / 1_000

    once()
    took = tuple(min(once() for _ in range(_TRIES)) for _ in range(rounds))
    return Row("evaluation, cached", took, "µs of CPU", f"a customer; {len(table.messages):,} messages")


async def _met(everybody: Sequence[Who], states: Sequence[bytes]) -> People:
    """An edge's people, once they have been read."""
    stored = {keys.user(who.org_id, who.subject): state for who, state in zip(everybody, states, strict=True)}
    users = Users(cast(Redis, _Stored(stored)), RedisServer(), _ROOM_BYTES)
    for who in everybody:
        await users.ask(who.org_id, [who.subject], list)
    return People(users, Overlay())


class _Stored(NamedTuple):
    """In place of Redis."""

    values: Mapping[str, bytes]

    async def mget(self, names: Sequence[str]) -> list[bytes | None]:
        return [self.values.get(name) for name in names]


def _customer_us(work: Callable[[States], None], people: Sequence[bytes], *, decoding: bool) -> float:
    groups = [people[start : start + _GROUP] for start in range(0, len(people), _GROUP)]
    took_ns = sum(min(_group_ns(work, group, decoding=decoding) for _ in range(_TRIES)) for group in groups)
    return took_ns / len(people) / 1_000


def _group_ns(work: Callable[[States], None], people: Sequence[bytes], *, decoding: bool) -> int:
    began = process_time_ns()
    states = [UserState.decode(state) for state in people]
    if not decoding:
        began = process_time_ns()
    work(states)
    return process_time_ns() - began


def _given_rows(table: OrgTable, people: Sequence[bytes]) -> list[Row]:
    persons = [person(table, UserState.decode(state), {}, NOW_MS) for state in people]
    given = [len(decide(table, each, _ANYWHERE, NOW_MS)) for each in persons]
    moving = sum(each.changes_ms is not None for each in persons)
    return [
        Row("messages that a customer is given", (mean(given),), "a customer"),
        Row("audiences that a customer is in", (mean(each.audiences.bit_count() for each in persons),), "a customer"),
        Row("customers whose audiences change by themselves", (100 * moving / len(people),), "%"),
    ]


def _compile_rows(count: int, rounds: int) -> list[Row]:
    rules = audiences(Shape(count, clauses=count * 3 // 2))
    before, edited = compile_rules(rules), {**rules, min(rules): Compare("trait0", "eq", "edited")}
    first = tuple(_compile_ms(rules, None) for _ in range(rounds))
    again = tuple(_compile_ms(edited, before) for _ in range(rounds))
    return [
        Row(f"rules of {count:,} audiences, first time", first, "ms of CPU", _what(rules)),
        Row(f"rules of {count:,} audiences, after an edit of one", again, "ms of CPU", _what(rules)),
    ]


def _compile_ms(rules: Mapping[str, Rule], before: Membership | None) -> float:
    began = process_time_ns()
    finish(compiling(rules, (), before))
    return (process_time_ns() - began) / 1e6


def _what(rules: Mapping[str, Rule]) -> str:
    clauses = {repr(leaf) for rule in rules.values() for leaf in leaves(rule) if not isinstance(leaf, InAudience)}
    return f"{len(rules):,} audiences, {len(clauses):,} distinct clauses"
