"""`inapp bundle inspect`: a manifest as an operator reads it."""

from dataclasses import replace

from rich.console import Console

from inapp.bundle_commands import _manifest
from tests.unit.test_formats import MANIFEST


def features_shown(features: int) -> str:
    console = Console(width=120)
    with console.capture() as printed:
        console.print(_manifest(replace(MANIFEST, features=MANIFEST.features[:features])))
    rows = dict(line.split(maxsplit=1) for line in printed.get().splitlines())
    return rows["Features"].split()[0]


def test_the_number_of_features_is_shown() -> None:
    assert [features_shown(0), features_shown(2)] == ["0", "2"]
