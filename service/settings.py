"""Settings every process shares; each process subclasses and adds its own `INAPP_*` fields."""

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettingError

ENV_PREFIX = "INAPP_"
_DATABASE_SCHEMES = ("postgresql://", "postgres://", "postgresql+asyncpg://")
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def _database_url(url: SecretStr) -> SecretStr:
    return _with_scheme(url, _DATABASE_SCHEMES)


def _redis_url(url: SecretStr) -> SecretStr:
    return _with_scheme(url, _REDIS_SCHEMES)


def _with_scheme(url: SecretStr, schemes: tuple[str, ...]) -> SecretStr:
    if not url.get_secret_value().startswith(schemes):
        raise PydanticCustomError("url_scheme", "must start with {schemes}", {"schemes": " or ".join(schemes)})
    return url


DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP port; 0 means any free one, shown in the log line `listening`."""
LogLevel = Literal["debug", "info", "warning", "error"]


class ProcessSettings(BaseSettings):
    """What every process reads: INAPP_LOG_LEVEL, INAPP_HOST, INAPP_PORT."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    log_level: LogLevel = "info"
    host: str = "127.0.0.1"
    port: Port = 0


class PostgresSettings(ProcessSettings):
    """Of a process that needs Postgres: DATABASE_URL."""

    database_url: DatabaseUrl = Field(validation_alias="DATABASE_URL")


class RedisSettings(ProcessSettings):
    """Of a process that needs Redis: REDIS_URL."""

    redis_url: RedisUrl = Field(validation_alias="REDIS_URL")


class InvalidSettingsError(Exception):
    """The environment cannot be used; `problems` has one line each, naming the variable, never its value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


S = TypeVar("S", bound=BaseSettings)


def load_settings(settings: type[S]) -> S:
    """Reads the environment. Raises InvalidSettingsError with every problem at once."""
    try:
        return settings()
    except ValidationError as error:
        raise InvalidSettingsError(setting_problems(error, settings)) from None
    except UnreadableSettingError as error:
        raise InvalidSettingsError([_unreadable(error, settings)]) from None


def setting_problems(error: ValidationError, settings: type[BaseModel]) -> list[str]:
    """One line per problem: `INAPP_PORT: …`. Values never appear."""
    names = {_alias(name, field): _variable(name, field) for name, field in settings.model_fields.items()}
    lines = []
    for problem in error.errors(include_input=False, include_context=False, include_url=False):
        head, *rest = (str(part) for part in problem["loc"]) if problem["loc"] else ("settings",)
        message = "is not set" if problem["type"] == "missing" and not rest else problem["msg"]
        lines.append(f"{'.'.join([names.get(head, head), *rest])}: {message}")
    return lines


def _alias(name: str, field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else name


def _variable(name: str, field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else f"{ENV_PREFIX}{name}".upper()


def _unreadable(error: UnreadableSettingError, settings: type[BaseModel]) -> str:
    """pydantic-settings names a field whose JSON cannot be read only in its message."""
    for name, field in settings.model_fields.items():
        if f'"{name}"' in str(error):
            return f"{_variable(name, field)}: must be JSON"
    return "the environment cannot be read"
