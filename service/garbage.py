"""When Python looks for circles of references that nothing else would free, in a process that makes none of them."""

import gc

_AFTER = 100_000


def collect_seldom() -> None:
    """Once in 100,000 new objects, instead of 700, and never in what was imported by now.

    A transaction, or an edit, makes tens of thousands of objects that live until it ends, none of them in a circle.
    Looking at them again and again took more than half of a recorder's time, and longer than the compile of an edit.
    """
    gc.freeze()
    gc.set_threshold(_AFTER, 10, 10)
