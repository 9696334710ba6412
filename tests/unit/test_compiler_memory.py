from compiler.check import check
from compiler.compile import compile_org
from compiler.memory import Made, Memory
from tests.support.compiler_rows import NOW_MS, message_row, snapshot, uuid

A, B, C = uuid(1), uuid(2), uuid(3)


def made(messages: int = 1, body: str = "Hello") -> Made:
    rows = [message_row(number, content={"body": body}) for number in range(messages)]
    compiled = compile_org(snapshot(*rows), NOW_MS)
    return Made(compiled, check(compiled))


def size_of(one: Made) -> int:
    memory = Memory()
    memory.keep(A, one)
    return memory.bytes


def test_what_was_made_last_is_kept() -> None:
    memory, first, second = Memory(), made(), made()
    assert memory.get(A) is None
    memory.keep(A, first)
    memory.keep(B, first)
    memory.keep(A, second)
    assert (memory.get(A), memory.get(B)) == (second, first)
    assert memory.bytes == 2 * size_of(first)


def test_the_orgs_that_were_not_made_for_longest_go_first() -> None:
    one = made()
    memory = Memory(most_bytes=2 * size_of(one))
    for org_id in (A, B, A, C):
        memory.keep(org_id, one)
    assert [memory.get(org_id) for org_id in (A, B, C)] == [one, None, one]
    assert memory.bytes == 2 * size_of(one)


def test_an_org_that_is_too_large_alone_is_not_kept_and_drives_no_other_out() -> None:
    one = made()
    memory = Memory(most_bytes=2 * size_of(one))
    memory.keep(A, one)
    memory.keep(B, one)
    memory.keep(B, made(3))
    assert (memory.get(A), memory.get(B), memory.bytes) == (one, None, size_of(one))


def test_many_messages_and_long_ones_both_count_sound_or_not() -> None:
    assert size_of(made(10)) == 10 * size_of(made())
    long, broken = "x" * 10_000, "x" * 10_000 + "\0"
    assert size_of(made(body=long)) > 40_000
    assert made(body=broken).compiled.problems
    assert size_of(made(body=broken)) > 40_000


def test_nothing_is_left_of_what_is_cleared() -> None:
    memory = Memory()
    memory.keep(A, made())
    memory.clear()
    assert (memory.get(A), memory.bytes) == (None, 0)
