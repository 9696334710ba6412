"""`inapp message explain`: a table that people read, or JSON."""

import json
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from inapp.cli import app
from store.ids import new_id
from tests.support.servers import run_apart

Inapp = Callable[..., Result]
NOBODY = "01890000-0000-7000-8000-000000000000"
FREE = {"trait": "plan", "op": "eq", "value": "free"}
TRIGGER = {"url": {"op": "starts_with", "value": "https://a.example/[x]"}}


@pytest.fixture
def inapp(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Inapp:
    """Runs a command on the test's own database."""
    given = {"DATABASE_URL": database_url, "INAPP_DATA_DIR": str(tmp_path_factory.mktemp("data")), "COLUMNS": None}

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env=given, prog_name="inapp")

    return run


@pytest.fixture
def rule() -> dict[str, Any]:
    return {"all": [FREE, {"trait": "seats", "op": "lt", "value": 5}]}


@pytest.fixture
def stored(inapp: Inapp, database_url: str, rule: dict[str, Any]) -> tuple[str, str]:
    """(org, message): a banner for those in an audience, who look at a URL; ada is not on the free plan."""
    org_id: str = json.loads(inapp("org", "create", "Acme", "--json").stdout)["orgId"]
    message_id, audience_id = str(new_id()), str(new_id())

    async def store() -> None:
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute(
                "INSERT INTO audiences (id, org_id, name, rule, created_ms, updated_ms) VALUES ($1, $2, $3, $4, 0, 0)",
                audience_id, org_id, "Free [small]", json.dumps(rule),
            )  # fmt: skip
            await connection.execute(
                "INSERT INTO in_app_messages (id, org_id, name, type, version, content, appearance, trigger,"
                " audience_id, priority, created_ms, updated_ms, published_ms) VALUES"
                " ($1, $2, 'Hi', 'banner', 1, '{\"body\": \"Hi\"}', '{\"position\": \"top\"}', $3, $4, 50, 0, 0, 0)",
                message_id, org_id, json.dumps(TRIGGER), audience_id,
            )  # fmt: skip
            await connection.execute(
                "INSERT INTO customers (org_id, subject, traits, rev, created_ms, last_seen_ms)"
                " VALUES ($1, 'u:ada', $2, 1, 0, 0), ($1, 'u:bob', $3, 2, 0, 0), ($1, 'a:tab', $3, 3, 0, 0)",
                org_id, '{"plan": "pro", "seats": 3}', '{"plan": "free", "seats": 3}',
            )  # fmt: skip
        finally:
            await connection.close()

    run_apart(store())
    return org_id, message_id


def explained(result: Result) -> str:
    assert (result.exit_code, result.exception) == (0, None), result.output
    return result.stdout


def test_a_table_marks_each_rule_and_says_what_would_have_to_change(inapp: Inapp, stored: tuple[str, str]) -> None:
    printed = explained(inapp("message", "explain", *stored, "--customer", "ada", "--url", "https://b.example/"))
    summary, moment, _, header, *table = printed.splitlines()
    assert summary == (
        "✗ It is not shown. The customer is not in “Free [small]”. plan is “pro”; it would have to be “free”. "
        "It also fails url."
    )
    assert moment.startswith("  at 20") and moment.endswith("Z")
    assert header.split() == ["Check", "Reason"]
    assert " ".join(" ".join(table).split()) == " ".join([
        "✓ status It is published and active.",
        "✓ window It has no start and no end.",
        "✗ audience not_in_audience The customer is not in “Free [small]”.",
        "✗ plan is “pro”; it would have to be “free”.",
        "✓ seats is 3.",
        "✓ excluded_audiences It excludes nobody.",
        "✓ trigger_audience It waits for no audience.",
        "✗ url url_mismatch The URL is “https://b.example/”; it would have to start with “https://a.example/[x]”.",
        "✓ screen It shows on every screen.",
        "✓ event It waits for no event.",
        "✓ frequency_cap Nothing limits how often it is shown.",
        "✓ slot No other message is before it in the slot “banner:top”.",
    ])  # fmt: skip


@pytest.mark.parametrize("rule", [FREE, {"all": [FREE]}])
def test_a_single_condition_is_told_once(inapp: Inapp, stored: tuple[str, str]) -> None:
    printed = explained(inapp("message", "explain", *stored, "--customer", "ada"))
    assert printed.count("plan is “pro”") == 1
    assert "✗ audience not_in_audience The customer is not in “Free [small]”. ✓" in " ".join(printed.split())


@pytest.mark.parametrize("rule", [FREE])
def test_a_single_condition_that_the_summary_leaves_out_stands_in_its_row(
    inapp: Inapp, stored: tuple[str, str], database_url: str
) -> None:
    async def pause() -> None:
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute("UPDATE in_app_messages SET active = false")
        finally:
            await connection.close()

    run_apart(pause())
    summary, *table = explained(inapp("message", "explain", *stored, "--customer", "ada")).splitlines()
    assert "plan" not in summary
    assert "“Free [small]”. plan is “pro”; it would have to be “free”. ✓" in " ".join(" ".join(table).split())


@pytest.mark.parametrize("rule", [{"all": [FREE, {"trait": "note", "op": "eq", "value": "word " * 15 + "."}]}])
def test_a_condition_that_takes_several_lines_keeps_its_indent(inapp: Inapp, stored: tuple[str, str]) -> None:
    lines = explained(inapp("message", "explain", *stored, "--customer", "ada")).splitlines()
    [first] = [number for number, line in enumerate(lines) if "✗ note" in line]
    wrapped = [line for line in lines[first + 1 :] if line.split()[:1] == ["word"]]
    assert wrapped
    assert {line.index("word") for line in wrapped} == {lines[first].index("note")}


def test_a_visitor_is_asked_about_by_the_anonymous_id(inapp: Inapp, stored: tuple[str, str]) -> None:
    assert explained(inapp("message", "explain", *stored, "--anonymous", "tab")).startswith("✓ It is shown.")
    for visitor, known in (("tab", "known"), ("nobody", "unknown")):
        options = ("--customer", "x", "--anonymous", visitor, "--json")
        both = json.loads(explained(inapp("message", "explain", *stored, *options)))
        assert both["customer"] == known


def test_one_of_the_two_ids_is_needed(inapp: Inapp, stored: tuple[str, str]) -> None:
    result = inapp("message", "explain", *stored)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "give --customer, --anonymous or both." in result.stderr


def test_what_is_no_id_is_said_to_be_none(inapp: Inapp) -> None:
    result = inapp("message", "explain", NOBODY, "nope", "--customer", "ada")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'MESSAGE': nope is no id: ids are UUIDs, of 36 characters." in result.stderr


def test_what_is_left_to_the_device_is_marked_apart(inapp: Inapp, stored: tuple[str, str]) -> None:
    printed = explained(inapp("message", "explain", *stored, "--customer", "bob"))
    assert printed.startswith("✓ It is shown.")
    (line,) = [line for line in printed.splitlines() if line.split()[1:2] == ["url"]]
    assert line.split()[:3] == ["?", "url", "on_device"]
    assert printed.rstrip().endswith("Nothing was said about url: that is left to the device.")


def test_as_json_it_is_what_the_api_answers(inapp: Inapp, stored: tuple[str, str]) -> None:
    options = ("--screen", "Home", "--event", '{"type": "a.b", "properties": {"n": 1}}', "--json")
    found: dict[str, Any] = json.loads(explained(inapp("message", "explain", *stored, "--customer", "cy", *options)))
    assert (found["shown"], found["reason"], found["customer"]) == (False, "not_in_audience", "unknown")
    assert [check["passes"] for check in found["checks"]].count(False) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((NOBODY, NOBODY, "--customer", "ada"), "There is nothing with this id."),
        (("--customer", "x" * 300), "Use at most 256 characters."),
        (("--customer", "ada", "--event", "{"), "Give an event type"),
        (("--customer", "ada", "--event", "9", "--url", "u" * 9_000), "Use at most 8,192 characters."),
    ],
)
def test_what_cannot_be_explained_is_one_clear_line(
    inapp: Inapp, stored: tuple[str, str], arguments: tuple[str, ...], said: str
) -> None:
    whole = arguments if arguments[0] == NOBODY else (*stored, *arguments)
    result = inapp("message", "explain", *whole)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr
