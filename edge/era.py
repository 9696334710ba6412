"""A time in which something holds for all of an org, and that ends for all of it at once."""


class Era:
    """`over`: it does not hold any more; `void`: not even as the best there is while Redis is away."""

    __slots__ = ("over", "void")

    def __init__(self) -> None:
        self.over = self.void = False
