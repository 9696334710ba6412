"""docs/sdk.md and docs/explain.md have every code that the SDK's sources can give, and no other."""

import re

from tests.support.error_codes import ROOT

CORE = ROOT / "sdk" / "core" / "src"
SDK = (ROOT / "docs" / "sdk.md").read_text()
EXPLAIN = (ROOT / "docs" / "explain.md").read_text()


def source(name: str) -> str:
    return (CORE / f"{name}.ts").read_text()


def type_codes(text: str, start: str) -> set[str]:
    """The texts of the union that begins after `start`; `Skipped["reason"]` refers to one of another type."""
    union = text.split(start, 1)[1].split(";", 1)[0]
    return set(re.findall(r'(?<!\[)"(\w+)"', union))


def edge_reasons() -> set[str]:
    """Those that an edge gives too."""
    return type_codes(source("decide"), "type Verdict =") | type_codes(source("caps"), "type CapReason =")


def device_reasons() -> set[str]:
    skipped = type_codes(source("read").split("interface Skipped")[1], "reason:")
    explained = type_codes(source("api").split("interface Explanation")[1], "reason:")
    return type_codes(source("stage"), "type Reason =") | skipped | explained


def tables(text: str, heading: str) -> list[list[str]]:
    """The codes with which the rows of each table of a section begin."""
    section = text.split(f"\n## {heading}\n")[1].split("\n## ", 1)[0]
    return [found for part in section.split("\n\n") if (found := re.findall(r"^\| `(\w+)` \|", part, re.M))]


def edge_codes() -> set[str]:
    return set(re.findall(r"^\| \d+ \| `(\w+)` \|", (ROOT / "docs" / "errors.md").read_text(), re.M))


def test_every_reason_is_explained_once() -> None:
    (listed,) = tables(SDK, "Why is this message not shown?")
    assert len(listed) == len(set(listed))
    assert set(listed) == edge_reasons() | device_reasons()


def test_the_page_about_explanations_has_the_reasons_of_devices_beside_those_of_the_edge() -> None:
    (of_devices,) = tables(EXPLAIN, "On a device")
    of_the_edge = set(re.findall(r"^\| `\w+` \| `(\w+)` \|", EXPLAIN, re.M))
    assert set(of_devices) == device_reasons() - of_the_edge
    assert edge_reasons() < of_the_edge


def test_every_error_of_the_sdk_is_explained_and_the_others_are_the_edges() -> None:
    ours, of_the_edge = tables(SDK, "Errors")
    texts = (path.read_text() for path in (ROOT / "sdk").glob("*/src/**/*.ts"))
    raised = {code for text in texts for code in re.findall(r'(?:SendoraError\(|code = )"(\w+)"', text)}
    assert set(ours) == raised
    assert set(of_the_edge) <= edge_codes() - raised


def test_every_reason_to_drop_an_event_is_explained() -> None:
    (listed,) = tables(SDK, "What arrives")
    assert set(listed) == set(re.findall(r'remove\(\w+, "(\w+)"\)', source("outbox")))
