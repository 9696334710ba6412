"""Bytes ↔ plain values, with limits. Every struct says in which FORMAT it is; an unknown one is a DecodeError."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgpack
import orjson

MAX_BYTES = 64 * 1024 * 1024


class DecodeError(ValueError):
    """The bytes are not what they should be: truncated, of another format, or past a limit."""


def pack(value: object) -> bytes:
    return bytes(msgpack.packb(value, use_bin_type=True))


def pack_all(values: Iterable[object]) -> bytes:
    """The values, one after the other."""
    packer = msgpack.Packer(use_bin_type=True, autoreset=False)
    for value in values:
        packer.pack(value)
    return bytes(packer.bytes())


def list_head(length: int) -> bytes:
    """What stands before the values of a list."""
    return bytes(msgpack.Packer().pack_array_header(length))


def pack_list(items: Sequence[bytes]) -> bytes:
    """The list of values of which each is packed already."""
    return b"".join([list_head(len(items)), *items])


def unpack(data: bytes | memoryview, *, use_list: bool = True) -> Any:
    """One msgpack value; its lists as tuples unless `use_list`. Raises DecodeError."""
    if len(data) > MAX_BYTES:
        raise DecodeError(f"{len(data)} bytes are more than the limit of {MAX_BYTES}")
    try:
        return msgpack.unpackb(data, raw=False, use_list=use_list, strict_map_key=False)
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise DecodeError(f"not msgpack: {type(error).__name__}") from error


def unpack_all(data: bytes) -> list[Any]:
    """The msgpack values that stand one after the other. Raises DecodeError."""
    unpacker = msgpack.Unpacker(raw=False, use_list=True, strict_map_key=False, max_buffer_size=MAX_BYTES)
    try:
        unpacker.feed(data)
        values = list(unpacker)
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise DecodeError(f"not msgpack: {type(error).__name__}") from error
    if unpacker.tell() != len(data):
        raise DecodeError("truncated")
    return values


def expect_format(found: object, expected: int) -> None:
    """Raises DecodeError."""
    if found != expected:
        raise DecodeError(f"format {found!r} is not {expected}")


def to_json(value: object) -> bytes:
    return orjson.dumps(value)


def canonical_json(value: object) -> bytes:
    """The same bytes for the same value: keys sorted."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def from_json(data: bytes | str) -> Any:
    """Raises DecodeError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DecodeError("not JSON") from error
