"""How long something holds that was found out with something else."""


class Era:
    """A time in which it holds, which ends at once for all of it. `over`: not any more; `void`: not even as the best
    there is while Redis is away."""

    __slots__ = ("over", "void")

    def __init__(self) -> None:
        self.over = self.void = False
