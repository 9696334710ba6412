"""What the lifespan builds and every request uses: the database, the clock, and one transaction a request."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, TypedDict

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.clock import NowMs


@dataclass(frozen=True, slots=True)
class Runtime:
    engine: AsyncEngine
    now_ms: NowMs


class State(TypedDict):
    """What the lifespan yields; requests see it as `request.state`."""

    runtime: Runtime


async def get_runtime(request: Request) -> Runtime:
    runtime: Runtime = request.state.runtime
    return runtime


CurrentRuntime = Annotated[Runtime, Depends(get_runtime)]


async def get_now_ms(runtime: CurrentRuntime) -> int:
    """One reading a request, so that everything in it happens at one moment."""
    return runtime.now_ms()


async def transaction(runtime: CurrentRuntime) -> AsyncIterator[AsyncConnection]:
    """The request's one transaction: committed before the answer is sent, rolled back on any error."""
    async with runtime.engine.connect() as connection:
        yield connection
        if not connection.closed:
            await connection.commit()


MomentMs = Annotated[int, Depends(get_now_ms)]
Transaction = Annotated[AsyncConnection, Depends(transaction, scope="function")]
