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
TRIGGER = {"url": {"op": "starts_with", "value": "https://a.example/[x]"}}


@pytest.fixture
def inapp(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Inapp:
    """Runs a command on the test's own database."""
    given = {"DATABASE_URL": database_url, "INAPP_DATA_DIR": str(tmp_path_factory.mktemp("data")), "COLUMNS": None}

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env=given, prog_name="inapp")

    return run


@pytest.fixture
def stored(inapp: Inapp, database_url: str) -> tuple[str, str]:
    """(org, message): a banner for those on the free plan, who look at a URL; ada is on another."""
    org_id: str = json.loads(inapp("org", "create", "Acme", "--json").stdout)["orgId"]
    message_id, audience_id = str(new_id()), str(new_id())
    rule = {"all": [{"trait": "plan", "op": "eq", "value": "free"}, {"trait": "seats", "op": "lt", "value": 5}]}

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
                " VALUES ($1, 'u:ada', $2, 1, 0, 0), ($1, 'u:bob', $3, 2, 0, 0)",
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
    assert header.split() == ["Rule", "Reason"]
    assert " ".join(" ".join(table).split()) == " ".join([
        "✓ status It is published and active.",
        "✓ window It has no start and no end.",
        "✗ audience not_in_audience The customer is not in “Free [small]”. plan is “pro”; it would have to be “free”.",
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
