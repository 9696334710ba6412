"""An edge's parts without an edge: what it holds of an org, and how it looks for garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from compiler.compile import Compiled
from edge.bundles import Org, building
from edge.garbage import collect_rarely
from engine.steps import finish

ORG_ID = UUID(int=0)


def held(compiled: Compiled) -> Org:
    """What an edge holds of an org once it has been published."""
    return finish(building(ORG_ID, compiled.manifest, compiled.bundles, None))


@contextmanager
def garbage_as_in_an_edge() -> Iterator[None]:
    """Python by itself looks for it as rarely as there, and not among what the bench made before. That an edge also
    looks by the clock is left out."""
    before = gc.get_threshold()
    collect_rarely()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
