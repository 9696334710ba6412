from collections.abc import Mapping
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.state import union
from tests.unit.test_formats import FORMATS, STATE
from wire import codec
from wire.codec import DecodeError
from wire.userstate import PackedStamps, UserState, rev_of

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def decoded() -> UserState:
    return UserState.decode(STATE.encode())


def test_stamps_are_decoded_once_somebody_looks_at_them() -> None:
    with patch.object(codec, "unpack", wraps=codec.unpack) as unpack:
        state = decoded()
        assert state.encode() == STATE.encode()
        assert unpack.call_count == 1
        assert (state.stamps["plan"], dict(state.stamps)) == (STATE.stamps["plan"], STATE.stamps)
        assert unpack.call_count == 2


def test_stamps_that_nobody_has_looked_at_are_like_others() -> None:
    assert isinstance(decoded().stamps, Mapping)
    assert decoded() == STATE
    assert STATE == decoded()  # noqa: SIM300 - the other way round it is another comparison
    assert decoded() != replace(STATE, stamps={})
    assert union(decoded(), decoded()) == union(STATE, STATE)


def test_unreadable_stamps_are_a_decode_error_when_they_are_asked_for() -> None:
    for packed in (b"", b"\xc1", codec.pack(1), codec.pack({"plan": 1}), codec.pack({"plan": [1, 2, 3]})):
        with pytest.raises(DecodeError):
            dict(PackedStamps(packed))


@pytest.mark.parametrize("rev", [0, 127, 128, 255, 256, 70_000, 2**32 - 1, 2**32, 2**63])
def test_the_rev_is_read_without_the_rest(rev: int) -> None:
    encoded = replace(STATE, rev=rev).encode()
    assert rev_of(encoded) == UserState.decode(encoded).rev == rev
    assert rev_of(encoded[:9] + b"\xc1") == rev


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xa1a", b"\xce\0\0\0", b"\xff", b"\xd0\xff"])
def test_what_begins_with_no_rev_is_a_decode_error(data: bytes) -> None:
    for read in (rev_of, UserState.decode):
        with pytest.raises(DecodeError):
            read(data)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_traits_come_back_as_they_were(traits: dict[str, object]) -> None:
    assert repr(UserState.decode(UserState(traits=traits).encode()).traits) == repr(traits)


def test_what_is_read_in_an_earlier_format_is_written_in_this_one() -> None:
    earlier = (FORMATS / "user-state-format-2.bin").read_bytes()
    assert UserState.decode(earlier).encode() == STATE.encode() != earlier
