"""pydantic's findings as our problems: our codes, our sentences, and never the input."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_args

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ErrorType

from wire import plain, problems
from wire.plain import Flaw
from wire.problems import Problem, child_pointer

MAX_PROBLEMS = 1000
MAX_POINTER_STEP_CHARS = 128
"""Both bound the answer to a hostile body, far beyond what a person can use."""

NO_INTEGER: Final = Flaw("wrong_type", "Must be a whole number.")
NO_NUMBER: Final = Flaw("wrong_type", "Must be a number.")
UNFIT: Final = Flaw("invalid_value", "This value cannot be used here.")

_FLAWS: Final[Mapping[str, Flaw]] = {
    "missing": problems.MISSING,
    "extra_forbidden": problems.UNKNOWN,
    "string_type": problems.NO_TEXT,
    "string_unicode": plain.SURROGATE,
    "bool_type": problems.NO_BOOLEAN,
    "bool_parsing": problems.NO_BOOLEAN,
    "int_type": NO_INTEGER,
    "int_parsing": NO_INTEGER,
    "int_from_float": NO_INTEGER,
    "int_parsing_size": plain.UNSAFE_INTEGER,
    "float_type": NO_NUMBER,
    "float_parsing": NO_NUMBER,
    "finite_number": plain.NOT_FINITE,
    "list_type": problems.NO_LIST,
    "dict_type": problems.NO_OBJECT,
    "model_type": problems.NO_OBJECT,
    "model_attributes_type": problems.NO_OBJECT,
    "uuid_type": problems.NO_UUID,
    "uuid_parsing": problems.NO_UUID,
    "union_tag_invalid": Flaw("unknown_value", "This is not one of the known kinds."),
    "union_tag_not_found": problems.MISSING,
}

_FLAWS_WITH_LIMITS: Final[Mapping[str, Callable[[Mapping[str, Any]], Flaw]]] = {
    "literal_error": lambda limits: Flaw("unknown_value", f"Must be {limits['expected']}."),
    "string_too_short": lambda limits: problems.too_short(limits["min_length"], _plural("character", limits)),
    "string_too_long": lambda limits: problems.too_long(limits["max_length"], "characters"),
    "too_short": lambda limits: problems.too_short(limits["min_length"], _plural("item", limits)),
    "too_long": lambda limits: problems.too_long(limits["max_length"], "items"),
    "greater_than_equal": lambda limits: Flaw("out_of_range", f"Must be at least {limits['ge']:,}."),
    "greater_than": lambda limits: Flaw("out_of_range", f"Must be more than {limits['gt']:,}."),
    "less_than_equal": lambda limits: Flaw("out_of_range", f"Must be at most {limits['le']:,}."),
    "less_than": lambda limits: Flaw("out_of_range", f"Must be less than {limits['lt']:,}."),
}

_KINDS: Final = frozenset(get_args(ErrorType))
"""All that pydantic has; any other is the code of a PydanticCustomError, and so ours with our message."""


def refusing(find_flaw: Callable[[Any], Flaw | None]) -> AfterValidator:
    """For `Annotated[…]`: what `find_flaw` finds is a problem of the value."""

    def check(value: Any) -> Any:
        if found := find_flaw(value):
            raise PydanticCustomError(found.code, found.message)
        return value

    return AfterValidator(check)


def payload_problems(errors: Sequence[Any], body: Any) -> list[Problem]:
    """pydantic's errors as problems, without duplicates. Pointers start at the body's root; a parameter's is
    `/query/limit`, `/path/id` or `/header/x-name`."""
    return list(dict.fromkeys(_problem(error, body) for error in errors[:MAX_PROBLEMS]))


def flaw_of(error: Mapping[str, Any]) -> Flaw:
    """What one of pydantic's errors says, in our words."""
    kind = str(error["type"])
    if kind in _FLAWS_WITH_LIMITS:
        return _FLAWS_WITH_LIMITS[kind](error["ctx"])
    if kind in _FLAWS:
        return _FLAWS[kind]
    return UNFIT if kind in _KINDS else Flaw(kind, str(error["msg"]))


def _plural(unit: str, limits: Mapping[str, Any]) -> str:
    return unit if limits["min_length"] == 1 else unit + "s"


def _problem(error: Mapping[str, Any], body: Any) -> Problem:
    kind, loc = str(error["type"]), tuple(error["loc"])
    steps = _in_body(loc[1:], body, kind) if loc[:1] == ("body",) else loc
    return Problem(child_pointer("", *(str(step)[:MAX_POINTER_STEP_CHARS] for step in steps)), *flaw_of(error))


def _in_body(loc: tuple[Any, ...], body: Any, kind: str) -> list[Any]:
    """pydantic's location without the names of union members, which the body does not contain."""
    steps: list[Any] = []
    for step in loc:
        if _contains(body, step):
            body = body[step]
            steps.append(step)
        elif kind == "missing" and step is loc[-1]:
            steps.append(step)
    return steps


def _contains(value: Any, step: Any) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, Mapping) and step in value
