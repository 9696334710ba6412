import pytest
from pydantic import Field, SecretStr

from service.settings import InvalidSettingsError, Port, PostgresSettings, RedisSettings, load_settings

DATABASE = "postgresql://me:hunter2@db/app"
REDIS = "redis://:hunter2@cache:6379/0"


class EngineSettings(PostgresSettings, RedisSettings):
    port: Port = 8700
    batch_size: int = Field(100, gt=0)
    regions: list[str] = Field(default_factory=list)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("DATABASE_URL", "REDIS_URL", "INAPP_PORT", "INAPP_HOST", "INAPP_LOG_LEVEL", "INAPP_BATCH_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def urls(environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    environment.setenv("DATABASE_URL", DATABASE)
    environment.setenv("REDIS_URL", REDIS)
    return environment


def problems() -> list[str]:
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(EngineSettings)
    assert caught.value.__cause__ is None
    assert str(caught.value) == "; ".join(caught.value.problems)
    return caught.value.problems


def test_urls_come_unprefixed_and_the_rest_prefixed(urls: pytest.MonkeyPatch) -> None:
    urls.setenv("INAPP_BATCH_SIZE", "7")
    settings = load_settings(EngineSettings)
    assert settings.database_url.get_secret_value() == DATABASE
    assert settings.redis_url.get_secret_value() == REDIS
    assert (settings.host, settings.port, settings.batch_size) == ("127.0.0.1", 8700, 7)


def test_a_password_is_in_no_repr(urls: pytest.MonkeyPatch) -> None:
    settings = load_settings(EngineSettings)
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_every_missing_variable_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", "")
    assert sorted(problems()) == ["DATABASE_URL: is not set", "REDIS_URL: is not set"]


def test_a_wrong_value_names_its_variable_but_not_the_value(urls: pytest.MonkeyPatch) -> None:
    urls.setenv("INAPP_BATCH_SIZE", "hunter2")
    urls.setenv("INAPP_PORT", "70000")
    urls.setenv("INAPP_LOG_LEVEL", "hunter2")
    lines = problems()
    assert {line.split(":")[0] for line in lines} == {"INAPP_BATCH_SIZE", "INAPP_PORT", "INAPP_LOG_LEVEL"}
    assert "hunter2" not in str(lines)
    assert "70000" not in str(lines)


def test_a_url_of_another_kind_is_refused_without_repeating_it(urls: pytest.MonkeyPatch) -> None:
    urls.setenv("DATABASE_URL", "mysql://me:hunter2@db/app")
    assert problems() == ["DATABASE_URL: must start with postgresql:// or postgres:// or postgresql+asyncpg://"]


def test_a_list_that_is_not_json_names_its_variable(urls: pytest.MonkeyPatch) -> None:
    urls.setenv("INAPP_REGIONS", "hunter2")
    assert problems() == ["INAPP_REGIONS: must be JSON"]


def test_a_process_without_postgres_needs_no_database_url(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REDIS_URL", REDIS)
    assert load_settings(RedisSettings).log_level == "info"


def test_settings_can_be_given_by_field_name() -> None:
    settings = EngineSettings(database_url=SecretStr(DATABASE), redis_url=SecretStr(REDIS), batch_size=7)
    assert settings.database_url.get_secret_value() == DATABASE
