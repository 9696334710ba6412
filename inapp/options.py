"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

DEFAULT_DATA_DIR = Path(".inapp")


def read_id(text: str) -> UUID:
    """Raises BadParameter."""
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is no id: ids are UUIDs, of 36 characters.") from None


DataDir = Annotated[
    Path,
    typer.Option(
        help="Where everything is kept: Postgres, Redis, the edge's spool, logs.",
        envvar="INAPP_DATA_DIR",
        file_okay=False,
    ),
]
OrgId = Annotated[UUID, typer.Argument(metavar="ORG", help="The org's id.", parser=read_id)]
MessageId = Annotated[UUID, typer.Argument(metavar="MESSAGE", help="The message's id.", parser=read_id)]
AudienceId = Annotated[
    UUID, typer.Argument(metavar="AUDIENCE", help="Its id, as `inapp audience list` shows it.", parser=read_id)
]
KeyId = Annotated[
    UUID, typer.Argument(metavar="KEY", help="The key's id, as `inapp key list` shows it.", parser=read_id)
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of prose.")]
