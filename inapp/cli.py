"""The `inapp` command. A command's module is loaded when the command is asked for: an edge needs no SQLAlchemy."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

_COMMANDS = {
    "up": "inapp.machine_commands",
    "demo": "inapp.machine_commands",
    "migrate": "inapp.machine_commands",
    "remove": "inapp.machine_commands",
    "admin": "inapp.process_commands",
    "compiler": "inapp.process_commands",
    "edge": "inapp.process_commands",
    "recorder": "inapp.process_commands",
}
_GROUPS = {
    "org": "inapp.org_commands",
    "key": "inapp.key_commands",
    "audience": "inapp.audience_commands",
    "bundle": "inapp.bundle_commands",
    "message": "inapp.message_commands",
    "import": "inapp.import_commands",
}


class _Commands(Mapping[str, Any]):
    """Name → command. Its module, whose Typer is named `app`, is imported only when the command itself is looked at."""

    def __getitem__(self, name: str) -> Any:
        if name in _COMMANDS:
            return get_group(import_module(_COMMANDS[name]).app).commands[name]
        group = get_group(import_module(_GROUPS[name]).app)
        group.name = name
        return group

    def __iter__(self) -> Iterator[str]:
        return iter([*_COMMANDS, *_GROUPS])

    def __len__(self) -> int:
        return len(_COMMANDS) + len(_GROUPS)


class _LoadsWhenAsked(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]


app = typer.Typer(cls=_LoadsWhenAsked, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def inapp() -> None:
    """In-app messages chosen by a server-side rule engine and delivered from the edge."""
