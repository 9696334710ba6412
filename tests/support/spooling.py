"""Append to a spool for ever, printing what was acknowledged: `python -m tests.support.spooling FOLDER`."""

import asyncio
import sys
from pathlib import Path
from uuid import UUID, uuid4

from edge.spool import Spool
from wire.events import Event


def event(type_: str = "a", *, user_id: str | None = "ada", properties: bytes = b"{}", **fields: object) -> Event:
    chosen = {
        "id_bytes": uuid4().bytes,
        "org_id": UUID(int=7),
        "anonymous_id": None,
        "occurred_ms": 5,
        "received_ms": 5,
        **fields,
    }
    return Event(type=type_, user_id=user_id, properties=properties, **chosen)  # type: ignore[arg-type]


async def append_for_ever(spool: Spool) -> None:
    while True:
        events = [event(properties=b'{"text":"%b"}' % (b"x" * 500)) for _ in range(3)]
        await spool.append(events)
        sys.stdout.write("".join(f"{each.id}\n" for each in events))
        sys.stdout.flush()


async def main(folder: Path) -> None:
    spool = Spool(folder, 1 << 30, lambda batch: None)
    await spool.open()
    await asyncio.gather(*(append_for_ever(spool) for _ in range(8)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
