"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

DEFAULT_DATA_DIR = Path(".inapp")

DataDir = Annotated[
    Path,
    typer.Option(
        help="Where everything is kept: Postgres, Redis, the edge's spool, logs.",
        envvar="INAPP_DATA_DIR",
        file_okay=False,
    ),
]
OrgId = Annotated[UUID, typer.Argument(metavar="ORG", help="The org's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of prose.")]
