"""What the admin process reads from its environment."""

from service.settings import Port, ProcessSettings


class AdminSettings(ProcessSettings):
    """`ProcessSettings`, with a port of its own."""

    port: Port = 8700
