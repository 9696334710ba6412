"""Audience rules for benchmarks, of one shape: distinct clauses over traits and events, combined as authors combine."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final, NamedTuple

from wire import times
from wire.rule_tree import AllOf, AnyOf, Compare, EventCount, InAudience, Not, Rule

NOW_MS: Final = 1_773_576_000_000
"""2026-03-15T12:00:00Z, unless somebody says another moment: then every moment of the rules moves along."""

PAST_MS: Final = 100 * 86_400_000
"""How far back the moments reach that rules and customers name."""

WORDS: Final = tuple(f"word{number}" for number in range(12))
"""The values of texts."""


class Shape(NamedTuple):
    """Of the rules: `clauses` are distinct, of them `counts` over `features`; the rest over `traits`."""

    audiences: int
    clauses: int = 300
    traits: int = 40
    counts: int = 60
    features: int = 30


class Kind(NamedTuple):
    """A trait's name, what a customer may have there, and what a rule may ask of it."""

    name: str
    value: Callable[[Random], object]
    clause: Callable[[Random], Compare]


def audiences(shape: Shape, now_ms: int = NOW_MS) -> dict[str, Rule]:
    """Rules by audience id, always the same for the same shape; each clause stands in at least one of them."""
    random = Random(shape.audiences)  # noqa: S311
    pool = _clauses(shape, random, now_ms)
    unused = random.sample(pool, len(pool))
    rules: dict[str, Rule] = {}
    for number in range(shape.audiences):
        share = -(-len(unused) // (shape.audiences - number))
        fresh = [unused.pop() for _ in range(share)]
        parts: list[Rule] = [*fresh, *random.sample(pool, random.randint(1, 4))]
        if rules and random.random() < 0.1:
            parts.append(InAudience(random.choice(list(rules))))
        rules[f"audience-{number}"] = _combined(parts, random)
    return rules


def kinds(traits: int, now_ms: int = NOW_MS) -> list[Kind]:
    """Of each 20 traits: 9 texts, 5 numbers, 3 truths, one date, one version, one list."""
    dated = partial(_date, now_ms=now_ms)
    makers: list[Callable[[str], Kind]] = [*[_text] * 9, *[_number] * 5, *[_truth] * 3, dated, _version, _list]
    return [makers[place % len(makers)](f"trait{place}") for place in range(traits)]


def _combined(parts: list[Rule], random: Random) -> Rule:
    """Mostly "all of these", sometimes with an alternative or an exception among them."""
    shape = random.random()
    if shape < 0.2:
        return AnyOf(tuple(parts))
    if shape < 0.5 and len(parts) > 2:
        return AllOf((parts[0], AnyOf(tuple(parts[1:]))))
    if shape < 0.7 and len(parts) > 1:
        return AllOf((*parts[1:], Not(parts[0])))
    return AllOf(tuple(parts))


def _clauses(shape: Shape, random: Random, now_ms: int) -> list[Compare | EventCount]:
    """Distinct by `repr`: most over traits, by what people ask of them, the rest over events."""
    asked = kinds(shape.traits, now_ms)
    found: dict[str, Compare | EventCount] = {}
    while len(found) < shape.clauses - shape.counts:
        compare = random.choice(asked).clause(random)
        found[repr(compare)] = compare
    while len(found) < shape.clauses:
        count = _count(random.randrange(shape.features), random)
        found[repr(count)] = count
    return list(found.values())


def _count(feature: int, random: Random) -> EventCount:
    where = (Compare("kind", "eq", WORDS[feature % 12]),) if feature % 3 == 0 else ()
    within = random.choice((None, "1d", "7d", "14d", "30d", "90d", "12h", "36h"))
    op, count = random.choice((("gte", 1), ("gte", 3), ("gte", 10), ("eq", 0), ("lt", 5), ("lte", 2)))
    return EventCount(f"event.{feature}", where, op, count, within)  # type: ignore[arg-type]


def _text(name: str) -> Kind:
    def clause(random: Random) -> Compare:
        match random.randrange(20):
            case 0:
                return Compare(name, "exists")
            case 1:
                return Compare(name, "starts_with", random.choice(WORDS)[: random.randint(4, 6)])
            case 2:
                return Compare(name, "glob", f"*{random.randrange(10)}")
            case 3 | 4 | 5:
                return Compare(name, "in", tuple(random.sample(WORDS, random.randint(2, 5))))
            case 6 | 7 | 8:
                return Compare(name, "neq", random.choice(WORDS))
            case _:
                return Compare(name, "eq", random.choice(WORDS))

    return Kind(name, lambda random: random.choice(WORDS), clause)


def _number(name: str) -> Kind:
    def clause(random: Random) -> Compare:
        op = random.choice(("gt", "gte", "lt", "lte", "gte", "eq"))
        return Compare(name, op, random.randrange(100))  # type: ignore[arg-type]

    return Kind(name, lambda random: random.choice((random.randrange(100), random.random() * 100)), clause)


def _truth(name: str) -> Kind:
    return Kind(
        name,
        lambda random: random.random() < 0.5,
        lambda random: Compare(name, random.choice(("eq", "neq")), random.random() < 0.5),
    )


def _date(name: str, now_ms: int) -> Kind:
    def past(random: Random) -> str:
        return times.to_iso(now_ms - random.randrange(PAST_MS))

    def clause(random: Random) -> Compare:
        if random.random() < 0.3:
            return Compare(name, "before", past(random))
        return Compare(name, "within_last", f"{random.randint(1, 60)}d")

    return Kind(name, past, clause)


def _version(name: str) -> Kind:
    def number(random: Random) -> str:
        return f"{random.randint(1, 4)}.{random.randrange(12)}.{random.randrange(5)}"

    return Kind(name, number, lambda random: Compare(name, "version_gte", number(random)))


def _list(name: str) -> Kind:
    return Kind(
        name, lambda random: random.sample(WORDS, 3), lambda random: Compare(name, "contains", random.choice(WORDS))
    )
