"""A file's lines and what they say, whatever the file looks like."""

import io
from typing import Any

import pytest

from inapp.imports.reading.columns import Column, read_header
from inapp.imports.reading.csv_records import read_header_and_records
from inapp.imports.reading.lines import MAX_BYTES, UnreadableFileError, read_lines
from inapp.imports.reading.ndjson import read_ndjson
from inapp.imports.reading.records import Record
from wire.problems import Problem


def ndjson(data: bytes) -> list[Record]:
    return list(read_ndjson(read_lines(io.BytesIO(data))))


def csv(data: bytes | str) -> list[Record]:
    data = data.encode() if isinstance(data, str) else data
    return list(read_header_and_records(read_lines(io.BytesIO(data)))[1])


def items(records: list[Record]) -> list[Any]:
    return [record.problem.code if record.problem else record.item for record in records]


def test_each_line_of_ndjson_is_a_record_with_its_place() -> None:
    first, second = ndjson(b'{"userId":"a"}\n\n  \r\n{"userId":"b"}')
    assert (first.line, first.next_line, first.end_byte, first.item) == (1, 2, 15, {"userId": "a"})
    assert (second.line, second.next_line, second.end_byte, second.item) == (4, 5, 34, {"userId": "b"})


@pytest.mark.parametrize("read", [ndjson, csv])
def test_a_mark_before_the_first_byte_and_carriage_returns_are_nothing(read: Any) -> None:
    mark = b"\xef\xbb\xbf"
    if read is ndjson:
        assert items(ndjson(mark + b'{"userId":"a"}\r\n{"userId":"b"}\r\n')) == [{"userId": "a"}, {"userId": "b"}]
    else:
        assert items(csv(mark + b"userId,plan\r\na,x\r\n")) == [{"userId": "a", "traits": {"plan": "x"}}]


@pytest.mark.parametrize("read", [ndjson, csv])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_refused_with_what_to_do(read: Any, encoding: str) -> None:
    with pytest.raises(UnreadableFileError, match="UTF-16"):
        read(("\ufeffuserId\na\n").encode(encoding))


def test_a_bad_line_of_ndjson_is_the_only_one() -> None:
    found = ndjson(b'{"userId":"a"}\n{"userId":\n{"userId":"\xe4"}\n{"userId":"b"}\n')
    assert items(found) == [{"userId": "a"}, "invalid_json", "invalid_utf8", {"userId": "b"}]
    assert found[2].problem is not None
    assert "Byte 12 " in found[2].problem.message


@pytest.mark.parametrize("longer", [1, 3 * MAX_BYTES])
def test_a_line_that_is_too_long_is_skipped_and_never_held_whole(longer: int) -> None:
    huge = b'{"userId":"' + b"x" * (MAX_BYTES + longer) + b'"}\n'
    found = ndjson(huge + b'{"userId":"b"}\n')
    assert items(found) == ["line_too_long", {"userId": "b"}]
    assert [len(found[0].data), found[0].end_byte] == [MAX_BYTES + 1, len(huge)]
    assert found[1].line == 2


def test_a_line_of_just_so_many_bytes_is_read() -> None:
    line = b'{"userId":"' + b"x" * (MAX_BYTES - 13) + b'"}'
    assert len(line) == MAX_BYTES
    assert [type(item) for item in items(ndjson(line + b"\n" + line))] == [dict, dict]


def test_cells_are_of_their_columns_types_and_empty_ones_say_nothing() -> None:
    header = "userId,plan,seats:number,beta:boolean,tags:json,a:b:text\n"
    rows = 'a,7,7,true,"[1,""x""]",z\nb,,,,,\nc,"",-1.5e3,FALSE,null,"q,r"\n'
    assert items(csv(header + rows)) == [
        {"userId": "a", "traits": {"plan": "7", "seats": 7, "beta": True, "tags": [1, "x"], "a:b": "z"}},
        {"userId": "b", "traits": {}},
        {"userId": "c", "traits": {"seats": -1500.0, "beta": False, "tags": None, "a:b": "q,r"}},
    ]


@pytest.mark.parametrize(
    ("type_", "cell", "code"),
    [
        *(("number", cell, "invalid_number") for cell in ("1,5", "007", " 1", "NaN", "1e", "٣", "true", ".5", "+1")),
        *(("boolean", cell, "invalid_boolean") for cell in ("yes", "1", " true")),
        *(("json", cell, "invalid_json") for cell in ("free", "{", "NaN")),
    ],
)
def test_a_cell_of_another_type_is_a_bad_line(type_: str, cell: str, code: str) -> None:
    found = csv(f'userId,t:{type_}\na,"{cell}"\nb,\n')
    assert items(found) == [code, {"userId": "b", "traits": {}}]
    assert found[0].problem is not None
    assert found[0].problem.pointer == "/traits/t"


def test_a_quoted_cell_goes_over_lines_and_has_commas_and_quotes() -> None:
    first, second = csv('userId,note\r\na,"one\r\ntwo, ""three""\n"\r\nb,x\r\n')
    assert first.item == {"userId": "a", "traits": {"note": 'one\r\ntwo, "three"\n'}}
    assert (first.line, first.next_line, first.end_byte) == (2, 5, 39)
    assert first.data == b'a,"one\r\ntwo, ""three""\n"\r\n'
    assert (second.line, second.item["userId"]) == (5, "b")


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_quote_that_is_not_closed_takes_no_other_line_with_it(ending: str) -> None:
    found = csv('userId,note\na,"oops\nb,fine\nc,"two\nlines"\nd,fine' + ending)
    assert items(found)[0] == "invalid_csv"
    assert (found[0].line, found[0].next_line, found[0].end_byte, found[0].data) == (2, 3, 20, b'a,"oops\n')
    assert [(record.line, record.item["userId"]) for record in found[1:]] == [(3, "b"), (4, "c"), (6, "d")]


def test_a_quote_that_is_not_closed_swallows_no_more_than_a_record_may_have() -> None:
    many = 5 + MAX_BYTES // 4
    found = csv('userId,note\na,"oops\n' + "b,x\n" * many)
    assert items(found[:1]) == ["line_too_long"]
    assert len(found) == 1 + many
    assert [record.line for record in found] == list(range(2, 3 + many))


@pytest.mark.parametrize("after", ["", "\n", "\nb,fine\n", '\nb,"fine"\n'])
def test_a_quote_that_is_not_closed_is_said_to_be_so_wherever_the_csv_module_notices_it(after: str) -> None:
    problem = csv('userId,note\na,"oops' + after)[0].problem
    assert problem is not None
    assert problem.message == "A quote is opened here and never closed; close it, or double the quotes inside a cell."


def test_another_slip_with_quotes_is_not_taken_for_an_open_one() -> None:
    found = csv('userId,note\na,"x"y\nb,z\n')
    assert items(found) == ["invalid_csv", {"userId": "b", "traits": {"note": "z"}}]
    assert found[0].problem is not None
    assert found[0].problem.message.startswith("This is not CSV: ")


def test_a_line_of_csv_says_whom_it_is_about() -> None:
    (found,) = csv("userId,plan\n,pro\n")
    assert found.problem == Problem("/userId", "missing_field", "Fill in userId: whom the line is about.")


def test_a_huge_line_of_csv_is_the_only_one() -> None:
    found = csv("userId,note\na,x\nb," + "y" * (2 * MAX_BYTES) + "\nc,z\n")
    assert [record.line for record in found] == [2, 3, 4]
    assert [record.problem is None for record in found] == [True, False, True]


def test_a_line_of_csv_in_another_encoding_is_the_only_one() -> None:
    found = csv("userId,note\na,é\n".encode() + "b,é\n".encode("latin-1") + b'c,"x\n\xff"\nd,z\n')
    assert [record.problem and record.problem.code for record in found] == [None, "invalid_utf8", "invalid_utf8", None]
    assert [record.line for record in found] == [2, 3, 4, 6]


def test_a_line_with_too_few_or_too_many_cells_is_bad_and_an_empty_one_is_none() -> None:
    found = csv("userId,plan\na\n\nb,x,y\nc,x\n")
    assert items(found[:2]) == ["wrong_cell_count", "wrong_cell_count"]
    assert found[0].problem is not None
    assert found[0].problem.message == "The first line names 2 columns, and this one has 1 cell."
    assert [record.line for record in found] == [2, 4, 5]


def test_a_header_names_columns_and_their_types() -> None:
    assert read_header(["userId", "a", "b:number", "c:d:text"]) == [
        Column("userId", "text"),
        Column("a", "text"),
        Column("b", "number"),
        Column("c:d", "text"),
    ]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("plan", "no column userId"),
        ("userId;plan", "separated by commas"),
        ("userId,a:b", "write a:b:text"),
        ("userId,a:", "no type"),
        ("userId,plan,plan:number", "two columns plan"),
        ("userId,userId", "two columns userId"),
        ("userId,", "Column 2 has no name"),
        ("userId:number", "ids are text"),
        ('"userId', "does not name columns"),
        ("", "empty"),
    ],
)
def test_a_header_that_cannot_be_is_refused_with_what_to_do(header: str, said: str) -> None:
    with pytest.raises(UnreadableFileError, match=said):
        csv(header)


def test_every_problem_of_a_header_is_said_at_once() -> None:
    with pytest.raises(UnreadableFileError) as raised:
        csv("userId,a:b,,c,c\n")
    assert [part in str(raised.value) for part in ("a:b:text", "Column 3", "two columns c")] == [True] * 3
