"""The commands that people type: what they print, and one clear line with exit code 1 where they cannot do it."""

import json
import re
from collections.abc import Callable
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from typer.testing import CliRunner, Result

from compiler.compile import compile_org
from compiler.lease import Lease
from compiler.publish import publish
from compiler.snapshot import take_snapshot
from inapp.cli import app
from inapp.embedded.ports import free_port
from store.connect import create_engine
from tests.support.compiler_rows import NOW_MS, Authored
from tests.support.processes import Processes
from tests.support.servers import run_apart
from wire import apikeys

NOBODY = "01890000-0000-7000-8000-000000000000"

Inapp = Callable[..., Result]


@pytest.fixture
def inapp(database_url: str, redis_db: str, tmp_path_factory: pytest.TempPathFactory) -> Inapp:
    """Runs a command on the test's own servers."""
    given = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_db,
        "INAPP_DATA_DIR": str(tmp_path_factory.mktemp("data")),
    }

    def run(*arguments: str, **environment: str | None) -> Result:
        unset = dict.fromkeys(("INAPP_DEFAULT_PLAN", "COLUMNS"), None)
        return CliRunner().invoke(app, arguments, env=unset | given | environment, prog_name="inapp")

    return run


def done(result: Result) -> str:
    """What a command printed that did its work."""
    assert (result.exit_code, result.exception) == (0, None), result.output
    return result.stdout


def refused(result: Result) -> str:
    """What a command said that did not."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def new_org(inapp: Inapp, name: str = "Acme") -> dict[str, str]:
    made: dict[str, str] = json.loads(done(inapp("org", "create", name, "--json")))
    return made


def rows(database_url: str, query: str) -> list[tuple[object, ...]]:
    async def ask() -> list[tuple[object, ...]]:
        connection = await asyncpg.connect(database_url)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return run_apart(ask())


def test_a_new_org_as_json_is_one_object_with_its_two_keys(inapp: Inapp, database_url: str) -> None:
    made = new_org(inapp, "Acme & Söhne")
    assert set(made) == {"orgId", "secretKey", "publicKey"}
    assert rows(database_url, "SELECT id, name, plan FROM orgs") == [(UUID(made["orgId"]), "Acme & Söhne", "starter")]
    for kind, field in (("sk", "secretKey"), ("pk", "publicKey")):
        key = apikeys.parse(made[field])
        assert key is not None
        assert (key.kind, str(key.org_id)) == (kind, made["orgId"])
        assert rows(database_url, f"SELECT digest FROM api_keys WHERE kind = '{kind}'") == [(key.digest,)]


def test_a_new_org_in_prose_shows_its_id_and_its_keys(inapp: Inapp, database_url: str) -> None:
    printed = done(inapp("org", "create", "Acme"))
    [(org_id,)] = rows(database_url, "SELECT id FROM orgs")
    assert str(org_id) in printed
    keys = re.findall(r"\b[ps]k_prod_\w+", printed)
    assert {(key.kind, key.org_id) for key in map(apikeys.parse, keys) if key} == {("sk", org_id), ("pk", org_id)}
    assert [(apikeys.digest(key),) for key in keys] == rows(
        database_url, "SELECT digest FROM api_keys ORDER BY kind DESC"
    )


def test_a_new_org_gets_the_plan_that_the_environment_names(inapp: Inapp, database_url: str) -> None:
    done(inapp("org", "create", "Acme", INAPP_DEFAULT_PLAN="free"))
    assert rows(database_url, "SELECT plan FROM orgs") == [("free",)]
    assert "INAPP_DEFAULT_PLAN" in refused(inapp("org", "create", "Acme", INAPP_DEFAULT_PLAN="gold"))
    assert rows(database_url, "SELECT plan FROM orgs") == [("free",)]


def test_an_org_needs_a_name(inapp: Inapp, database_url: str) -> None:
    assert "name" in refused(inapp("org", "create", ""))
    assert rows(database_url, "SELECT * FROM orgs") == []


def test_a_plan_is_set(inapp: Inapp, database_url: str) -> None:
    assert "pro" in done(inapp("org", "plan", new_org(inapp)["orgId"], "pro"))
    assert rows(database_url, "SELECT plan FROM orgs") == [("pro",)]


def test_a_plan_that_is_none_is_refused_with_those_there_are(inapp: Inapp, database_url: str) -> None:
    said = refused(inapp("org", "plan", new_org(inapp)["orgId"], "gold"))
    assert all(plan in said for plan in ("free", "starter", "pro"))
    assert rows(database_url, "SELECT plan FROM orgs") == [("starter",)]


@pytest.mark.parametrize(
    "command",
    [
        ("org", "plan", NOBODY, "pro"),
        ("key", "create", NOBODY, "--kind", "pk", "--name", "App"),
        ("key", "revoke", NOBODY, NOBODY),
    ],
    ids=" ".join,
)
def test_an_unknown_org_is_one_clear_line(inapp: Inapp, command: tuple[str, ...]) -> None:
    assert len(refused(inapp(*command)).strip().splitlines()) == 1


def test_what_is_no_id_at_all_is_named(inapp: Inapp) -> None:
    result = inapp("org", "plan", "acme", "pro")
    assert result.exit_code == 2
    assert "ORG" in result.stderr


def test_a_key_is_made_listed_and_revoked(inapp: Inapp, database_url: str) -> None:
    org_id = new_org(inapp)["orgId"]
    made = json.loads(done(inapp("key", "create", org_id, "--kind", "pk", "--env", "dev", "--name", "Shop", "--json")))
    assert set(made) == {"id", "key"}
    assert made["key"].startswith("pk_dev_")
    select = f"SELECT name, kind, env, digest, revoked_ms IS NULL FROM api_keys WHERE id = '{made['id']}'"
    assert rows(database_url, select) == [("Shop", "pk", "dev", apikeys.digest(made["key"]), True)]

    listed = done(inapp("key", "list", org_id))
    [line] = [line for line in listed.splitlines() if made["id"] in line]
    assert "Shop" in line
    assert made["key"][-4:] in line
    assert made["key"] not in listed
    others = rows(database_url, f"SELECT id FROM api_keys WHERE id <> '{made['id']}'")
    assert all(str(key_id) in listed for (key_id,) in others)

    assert "Shop" in done(inapp("key", "revoke", org_id, made["id"]))
    [line] = [line for line in done(inapp("key", "list", org_id)).splitlines() if made["id"] in line]
    assert len(re.findall(r"\d{4}-\d\d-\d\d", line)) == 2
    assert rows(database_url, select) == [("Shop", "pk", "dev", apikeys.digest(made["key"]), False)]


def test_a_key_in_prose_is_shown_whole(inapp: Inapp, database_url: str) -> None:
    org_id = new_org(inapp)["orgId"]
    printed = done(inapp("key", "create", org_id, "--kind", "sk", "--role", "viewer", "--name", "Reports"))
    [key] = re.findall(r"\bsk_prod_\w+", printed)
    select = "SELECT digest, role FROM api_keys WHERE name = 'Reports'"
    assert rows(database_url, select) == [(apikeys.digest(key), "viewer")]


def test_a_key_that_cannot_be_is_refused_with_the_reason(inapp: Inapp, database_url: str) -> None:
    org_id = new_org(inapp)["orgId"]
    before = rows(database_url, "SELECT id FROM api_keys")
    assert "kind" in refused(inapp("key", "create", org_id, "--kind", "xk", "--name", "App"))
    assert "role" in refused(inapp("key", "create", org_id, "--kind", "pk", "--role", "admin", "--name", "App"))
    assert rows(database_url, "SELECT id FROM api_keys") == before


def test_the_last_admin_key_stays(inapp: Inapp, database_url: str) -> None:
    org_id = new_org(inapp)["orgId"]
    [(key_id,)] = rows(database_url, "SELECT id FROM api_keys WHERE kind = 'sk'")
    assert "last" in refused(inapp("key", "revoke", org_id, str(key_id)))
    assert rows(database_url, "SELECT count(*) FROM api_keys WHERE revoked_ms IS NULL") == [(2,)]


def test_an_org_without_bundles_is_said_to_have_none(inapp: Inapp) -> None:
    assert "compiler" in refused(inapp("bundle", "inspect", new_org(inapp)["orgId"]))


def test_bundles_are_shown_as_an_edge_would_load_them(inapp: Inapp, database_url: str, redis_db: str) -> None:
    org = new_org(inapp)
    run_apart(publish_messages(database_url, redis_db, UUID(org["orgId"])))
    printed = done(inapp("bundle", "inspect", org["orgId"]))
    assert "1.1.1" in printed
    assert "everyone" in printed
    assert '{"trait": "plan", "op": "eq", "value": "free"}' in printed
    assert "For everyone [beta]" in printed
    assert "For the few" in printed
    assert org["publicKey"] not in printed


async def publish_messages(database_url: str, redis_url: str, org_id: UUID) -> None:
    """One for everyone, one for an audience: as the compiler does."""
    postgres = create_engine(database_url)
    try:
        authored = Authored(postgres, org_id)
        audience_id = await authored.add_audience({"trait": "plan", "op": "eq", "value": "free"})
        await authored.add_message(content={"title": "For everyone [beta]", "body": "x"})
        await authored.add_message(content={"title": "For the few", "body": "x"}, audience_id=audience_id)
        lease = Lease(postgres, "a compiler")
        await lease.attempt()
        assert lease.term is not None
        snapshot = await take_snapshot(postgres, org_id, lease.term)
        async with Redis.from_url(redis_url) as redis:
            await publish(redis, org_id, compile_org(snapshot, NOW_MS))
    finally:
        await postgres.dispose()


def test_redis_that_does_not_answer_is_one_clear_line(inapp: Inapp) -> None:
    said = refused(inapp("bundle", "inspect", NOBODY, REDIS_URL=f"redis://127.0.0.1:{free_port()}"))
    assert "Redis" in said
    assert len(said.strip().splitlines()) == 1


def test_without_a_database_url_it_is_said_what_to_set(inapp: Inapp) -> None:
    assert "DATABASE_URL" in refused(inapp("org", "create", "Acme", DATABASE_URL=None))


def test_a_database_that_was_not_migrated_is_said_to_need_it(inapp: Inapp, database_url: str) -> None:
    run_apart(drop_tables(database_url))
    assert "inapp migrate" in refused(inapp("org", "create", "Acme"))
    done(inapp("migrate"))
    new_org(inapp)


async def drop_tables(database_url: str) -> None:
    postgres = create_engine(database_url)
    async with postgres.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
    await postgres.dispose()


@pytest.mark.parametrize("command", [("migrate",), ("org", "create", "Acme")], ids=" ".join)
def test_a_database_that_does_not_answer_is_one_clear_line(processes: Processes, command: tuple[str, ...]) -> None:
    url = f"postgresql://inapp:hidden-password@127.0.0.1:{free_port()}/inapp"
    process = processes.start(*command, env={"DATABASE_URL": url})
    assert process.wait() == 1
    assert "Traceback" not in process.output
    assert "hidden-password" not in process.output
    [line] = [line for line in process.output.splitlines() if "✗" in line]
    assert "database" in line
    assert process.output.strip().splitlines()[-1] == line
