"""Rules → the source of Python functions, and the functions.

Nothing that an author wrote stands in the source: names and operands of rules are bound to the functions as constants,
under names that are made here.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any, Final, NamedTuple

from engine.conditions import BOUND, at_least, compare_value, count_value
from engine.values import NEVER, Motion, Value, Values
from wire.rule_tree import AllOf, AnyOf, Compare, EventCount, InAudience, Not, Rule

_MOST_LINES: Final = 1_500
"""After so many a new function begins: one is compiled in some ms, during which nothing else of the process runs."""

_MOST_NESTED: Final = 8
"""Python gives up on expressions that are nested some hundred deep."""

_HEAD: Final = "def part(get, ring, static, now, shared, ahead):\n mask = 0; sure = maybe = yes\n "
_FOOT: Final = "\n return mask, sure, maybe, ahead\n"

Part = Callable[..., tuple[int, int, int, bool]]


class Program(NamedTuple):
    """`parts`: the functions, to be called in this order, each with the place of its first bit in the mask of all."""

    parts: tuple[tuple[Part, int], ...]
    sources: tuple[str, ...]
    shared: int


def generate(static: Iterable[str], rules: Mapping[str, Rule]) -> Program:
    """`rules` in the order of evaluation. Raises ValueError for a rule that `parse_rule` would have refused."""
    writer = _Writer()
    for value in _roots(static, rules):
        writer.root(value)
    return writer.program()


def _roots(static: Iterable[str], rules: Mapping[str, Rule]) -> list[Value]:
    values = Values()
    audiences = {id_: Value("{0} in static", constants=(id_,)) for id_ in static}
    for audience_id, rule in rules.items():
        audiences[audience_id] = _value(values, audiences, rule)
    for value in audiences.values():
        value.uses += 1
    return list(audiences.values())


def _value(values: Values, audiences: Mapping[str, Value], rule: Rule) -> Value:
    match rule:
        case AllOf():
            return values.all_of([_value(values, audiences, part) for part in _flat(rule)])
        case AnyOf():
            return values.any_of([_value(values, audiences, part) for part in _flat(rule)])
        case Not(negated):
            return values.negation(_value(values, audiences, negated))
        case InAudience(audience_id):
            return audiences[audience_id]
        case EventCount():
            plain = at_least(rule)
            return count_value(values, rule) if plain == rule else _value(values, audiences, plain)
        case Compare():
            return compare_value(values, rule)


def _flat(rule: AllOf | AnyOf) -> Iterable[Rule]:
    """What is nested in its own kind is a part like the others; so more of them have an exact turn."""
    for part in rule.rules:
        inner = at_least(part) if isinstance(part, EventCount) else part
        if type(inner) is type(rule):
            yield from _flat(inner)
        else:
            yield inner


class _Lines:
    """A function in the making."""

    def __init__(self, first_bit: int) -> None:
        self.first_bit = first_bit
        self.lines: list[str] = []
        self.names: dict[Value, str] = {}
        self.constants: dict[str, object] = {}

    def named(self, value: Value) -> str:
        return self.names.setdefault(value, f"{value.letter or 'c'}{len(self.names)}")

    def bound(self, constant: object) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = constant
        return name


class _Writer:
    """Lays values out in the parts: each is computed in the first that needs it, and handed on to later ones."""

    def __init__(self) -> None:
        self._done: dict[Value, _Lines] = {}
        self._slots: dict[Value, int] = {}
        self._parts = [_Lines(0)]
        self._roots = 0

    def root(self, value: Value) -> None:
        part = self._parts[-1]
        if len(part.lines) > _MOST_LINES:
            part = _Lines(self._roots)
            self._parts.append(part)
        text = self._text(value, part)
        bit = 1 << self._roots - part.first_bit
        self._roots += 1
        if not value.moves:
            part.lines.append(f"if {text}: mask += {bit}")
            return
        until = "maybe" if value.motion is Motion.LOOSE else "sure"
        part.lines += [
            f"if {text} > 0.0:",
            f" mask += {bit}",
            f" if {text} < {until}: {until} = {text}",
            f"elif -{text} < {until}: {until} = -{text}",
        ]

    def _text(self, value: Value, part: _Lines) -> str:
        """What stands for the value in this part: its name, or itself where it is used just once."""
        if value in part.names:
            return part.names[value]
        if value in self._done:
            name = part.named(value)
            part.lines.append(f"{name} = shared[{self._slots.setdefault(value, len(self._slots))}]")
            return name
        texts = [self._text(each, part) for each in value.inputs]
        texts += [part.bound(constant) for constant in value.constants]
        if not value.letter and value.uses == 1 and value.depth % _MOST_NESTED:
            return f"({value.code.format(*texts)})"
        name = part.named(value)
        part.lines += [f"{name} = {value.code.format(*texts)}", *(each.format(*texts, x=name) for each in value.after)]
        self._done[value] = part
        return name

    def program(self) -> Program:
        for value, slot in self._slots.items():
            part = self._done[value]
            part.lines.append(f"shared[{slot}] = {part.names[value]}")
        parts = [part for part in self._parts if part.lines]
        sources = tuple(_HEAD + "\n ".join(part.lines) + _FOOT for part in parts)
        functions = [_function(source, part.constants) for source, part in zip(sources, parts, strict=True)]
        places = [(function, part.first_bit) for function, part in zip(functions, parts, strict=True)]
        return Program(tuple(places), sources, len(self._slots))


def _function(source: str, constants: Mapping[str, object]) -> Part:
    namespace: dict[str, Any] = {"__builtins__": {}, "yes": NEVER, "no": -NEVER, **BOUND, **constants}
    exec(_code(source), namespace)  # noqa: S102
    part: Part = namespace["part"]
    return part


@lru_cache(maxsize=256)
def _code(source: str) -> CodeType:
    """Rules of the same form have the same source, whatever they ask about."""
    return compile(source, "<audiences>", "exec")


def forget_code() -> None:
    """For measuring how long it takes to compile."""
    _code.cache_clear()
