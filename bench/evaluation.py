"""How long the edge needs to find out which audiences a customer is in, and to make ready for that.

One workload, the same in every run: 200 audiences over 300 distinct clauses of 40 traits and 30 event features.
Run alone with `python -m bench.evaluation`.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from time import perf_counter_ns, process_time_ns
from typing import NamedTuple

from bench.rows import Row, Size
from engine.features import features_of
from engine.generate import forget_code
from engine.rules import Membership, compile_rules
from wire import times
from wire.rule_tree import AllOf, AnyOf, Compare, EventCount, InAudience, Not, Rule, leaves
from wire.userstate import UserState

NOW_MS = 1_773_576_000_000
TARGET_US = 50.0
_DAY_MS = 86_400_000
_WORDS = tuple(f"word{number}" for number in range(12))
_GROUP = 20


class Shape(NamedTuple):
    """Of the rules: `clauses` are distinct, of them `counts` over `features`; the rest over `traits`."""

    audiences: int
    clauses: int = 300
    traits: int = 40
    counts: int = 60
    features: int = 30


class _Kind(NamedTuple):
    """A trait's name, what a customer may have there, and what a rule may ask of it."""

    name: str
    value: Callable[[Random], object]
    clause: Callable[[str, Random], Compare]


def measure(size: Size = "nightly") -> list[Row]:
    """Some seconds at `nightly`."""
    customers, rounds = (1_000, 25) if size == "nightly" else (10, 1)
    rules = audiences(Shape(200))
    membership = compile_rules(rules)
    people = [_customer(rules, Random(seed)) for seed in range(customers)]  # noqa: S311
    return [
        Row("evaluate, first time", _evaluate_us(membership, people, rounds), "µs/user", TARGET_US, _what(rules)),
        *_sizes(membership, people),
        *(row for count in ((200, 2_000) if size == "nightly" else (20,)) for row in _compile_rows(count)),
    ]


def audiences(shape: Shape) -> dict[str, Rule]:
    """Rules by audience id, always the same for the same shape; each clause stands in at least one of them."""
    random = Random(shape.audiences)  # noqa: S311
    pool = _clauses(shape, random)
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


def _clauses(shape: Shape, random: Random) -> list[Compare | EventCount]:
    """Distinct by `repr`: most over traits, by what people ask of them, the rest over events."""
    kinds = _kinds(shape.traits)
    found: dict[str, Compare | EventCount] = {}
    while len(found) < shape.clauses - shape.counts:
        kind = random.choice(kinds)
        compare = kind.clause(kind.name, random)
        found[repr(compare)] = compare
    while len(found) < shape.clauses:
        count = _count(random.randrange(shape.features), random)
        found[repr(count)] = count
    return list(found.values())


def _count(feature: int, random: Random) -> EventCount:
    where = (Compare("kind", "eq", _WORDS[feature % 12]),) if feature % 3 == 0 else ()
    within = random.choice((None, "1d", "7d", "14d", "30d", "90d", "12h", "36h"))
    op, count = random.choice((("gte", 1), ("gte", 3), ("gte", 10), ("eq", 0), ("lt", 5), ("lte", 2)))
    return EventCount(f"event.{feature}", where, op, count, within)  # type: ignore[arg-type]


def _kinds(traits: int) -> list[_Kind]:
    """Of each 20 traits: 9 texts, 5 numbers, 3 truths, one date, one version, one list."""
    makers = [_text] * 9 + [_number] * 5 + [_truth] * 3 + [_date, _version, _list]
    return [makers[place % len(makers)](f"trait{place}") for place in range(traits)]


def _text(name: str) -> _Kind:
    def clause(name: str, random: Random) -> Compare:
        match random.randrange(20):
            case 0:
                return Compare(name, "exists")
            case 1:
                return Compare(name, "starts_with", random.choice(_WORDS)[: random.randint(4, 6)])
            case 2:
                return Compare(name, "glob", f"*{random.randrange(10)}")
            case 3 | 4 | 5:
                return Compare(name, "in", tuple(random.sample(_WORDS, random.randint(2, 5))))
            case 6 | 7 | 8:
                return Compare(name, "neq", random.choice(_WORDS))
            case _:
                return Compare(name, "eq", random.choice(_WORDS))

    return _Kind(name, lambda random: random.choice(_WORDS), clause)


def _number(name: str) -> _Kind:
    def clause(name: str, random: Random) -> Compare:
        op = random.choice(("gt", "gte", "lt", "lte", "gte", "eq"))
        return Compare(name, op, random.randrange(100))  # type: ignore[arg-type]

    return _Kind(name, lambda random: random.choice((random.randrange(100), random.random() * 100)), clause)


def _truth(name: str) -> _Kind:
    return _Kind(
        name,
        lambda random: random.random() < 0.5,
        lambda name, random: Compare(name, random.choice(("eq", "neq")), random.random() < 0.5),
    )


def _date(name: str) -> _Kind:
    def clause(name: str, random: Random) -> Compare:
        if random.random() < 0.3:
            return Compare(name, "before", times.to_iso(_past_ms(random)))
        return Compare(name, "within_last", f"{random.randint(1, 60)}d")

    return _Kind(name, lambda random: times.to_iso(_past_ms(random)), clause)


def _version(name: str) -> _Kind:
    def number(random: Random) -> str:
        return f"{random.randint(1, 4)}.{random.randrange(12)}.{random.randrange(5)}"

    return _Kind(name, number, lambda name, random: Compare(name, "version_gte", number(random)))


def _list(name: str) -> _Kind:
    return _Kind(
        name,
        lambda random: random.sample(_WORDS, 3),
        lambda name, random: Compare(name, "contains", random.choice(_WORDS)),
    )


def _past_ms(random: Random) -> int:
    return NOW_MS - random.randrange(100 * _DAY_MS)


def _customer(rules: Mapping[str, Rule], random: Random) -> bytes:
    """Has four traits of five, and has done half of what the rules ask about."""
    traits = {kind.name: kind.value(random) for kind in _kinds(Shape(0).traits) if random.random() < 0.8}
    rings = {
        feature.id: tuple(sorted((_past_ms(random) for _ in range(random.randint(1, feature.kept))), reverse=True))
        for feature in features_of(rules.values()).values()
        if random.random() < 0.5
    }
    return UserState(traits=traits, rings=rings).encode()


def _what(rules: Mapping[str, Rule]) -> str:
    clauses = {repr(leaf) for rule in rules.values() for leaf in leaves(rule) if not isinstance(leaf, InAudience)}
    return f"{len(rules)} audiences, {len(clauses)} distinct clauses"


def _sizes(membership: Membership, people: Sequence[bytes]) -> list[Row]:
    states = [UserState.decode(state) for state in people]
    answers = [membership.evaluate(state.traits, state.rings, state.static_audiences, NOW_MS) for state in states]
    held = sum(mask.bit_count() for mask, _ in answers) / len(people)
    moving = sum(change_ms is not None for _, change_ms in answers) / len(people)
    return [
        Row("audiences that a customer is in", held, "a user"),
        Row("customers with a next change", 100 * moving, "%"),
    ]


def _evaluate_us(membership: Membership, people: Sequence[bytes], rounds: int) -> float:
    """Of each few customers the quickest round: what else runs on the machine only ever adds."""
    groups = [people[start : start + _GROUP] for start in range(0, len(people), _GROUP)]
    took_ns = sum(min(_evaluate_ns(membership, group) for _ in range(rounds)) for group in groups)
    return took_ns / len(people) / 1_000


def _evaluate_ns(membership: Membership, people: Sequence[bytes]) -> int:
    """States as they come from Redis, decoded anew: Python remembers nothing of their strings yet."""
    states, evaluate = [UserState.decode(state) for state in people], membership.evaluate
    began = perf_counter_ns()
    for state in states:
        evaluate(state.traits, state.rings, state.static_audiences, NOW_MS)
    return perf_counter_ns() - began


def _compile_rows(count: int) -> list[Row]:
    """The second time, code of the same form is there already, as after an edit of a message."""
    rules = audiences(Shape(count, clauses=count * 3 // 2))
    first = min(_compile_ms(rules, anew=True) for _ in range(5))
    again = min(_compile_ms(rules, anew=False) for _ in range(5))
    return [
        Row("compile the rules", first, "ms of CPU", note=_what(rules)),
        Row("compile them again", again, "ms of CPU", note=_what(rules)),
    ]


def _compile_ms(rules: Mapping[str, Rule], *, anew: bool) -> float:
    if anew:
        forget_code()
    began = process_time_ns()
    compile_rules(rules)
    return (process_time_ns() - began) / 1e6
