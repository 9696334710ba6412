"""The shape of a message, as far as more than one process depends on it."""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from wire.plain import Flaw
from wire.userstate import RECENT_IMPRESSIONS

MessageType = Literal["banner", "modal", "slideout", "tooltip"]
Position = Literal["top", "bottom", "center"]
Theme = Literal["light", "dark", "auto"]
Stop = Literal["click", "dismiss"]

MAX_DELAY_S: Final = 300
MAX_CAP_S: Final = 365 * 86_400
MAX_GOAL_S: Final = 365 * 86_400
DEFAULT_GOAL_S: Final = 7 * 86_400
MAX_IMPRESSIONS: Final = RECENT_IMPRESSIONS
"""The most that a cap may count: within a time no more can be told from a user's state."""

INVALID_COLOR: Final = Flaw("invalid_color", "A colour is #rgb or #rrggbb.")
INVALID_SLOT: Final = Flaw("invalid_slot", "A slot is 1 to 64 letters, digits and . _ : -")

_COLOR = re.compile(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_SLOT = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def color_flaw(text: str) -> Flaw | None:
    return None if _COLOR.fullmatch(text) else INVALID_COLOR


def slot_flaw(text: str) -> Flaw | None:
    return None if _SLOT.fullmatch(text) else INVALID_SLOT


def render_slot(type_: str, slot: str | None, appearance: Mapping[str, Any]) -> str:
    """Where a message shows, and so which others it competes with. `appearance` has the place that its type needs."""
    if slot is not None:
        return slot
    return f"{type_}:{appearance['anchor' if type_ == 'tooltip' else 'position']}"
