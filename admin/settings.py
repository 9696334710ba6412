"""What the admin process reads from its environment."""

from service.settings import Port, PostgresSettings


class AdminSettings(PostgresSettings):
    """`PostgresSettings`, with a port of its own."""

    port: Port = 8700
