"""docker-compose.yml against the Compose specification, and against what the processes need."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_pydantic.models import ComposeSpecification
from pydantic import ValidationError

FILE = Path(__file__).parents[2] / "docker-compose.yml"


def composed() -> dict[str, Any]:
    """The file without its `x-` extensions, which the specification leaves to their authors."""
    loaded = yaml.safe_load(FILE.read_text())
    return {name: part for name, part in loaded.items() if not name.startswith("x-")}


def test_it_follows_the_compose_specification() -> None:
    ComposeSpecification.model_validate(composed())


def test_a_misspelt_field_would_be_found() -> None:
    wrong = composed()
    wrong["services"]["edge"]["healthchek"] = wrong["services"]["edge"].pop("healthcheck")
    with pytest.raises(ValidationError, match="healthchek"):
        ComposeSpecification.model_validate(wrong)


@pytest.mark.parametrize("process", ["admin", "compiler", "recorder", "edge"])
def test_every_process_runs_its_command_and_has_a_health_check(process: str) -> None:
    service = composed()["services"][process]
    assert service["command"] == ["inapp", process]
    assert "/readyz" in service["healthcheck"]["test"][-1]


def test_redis_keeps_what_it_is_given_and_evicts_nothing() -> None:
    command = " ".join(composed()["services"]["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_the_edge_needs_no_database_to_start() -> None:
    assert set(composed()["services"]["edge"]["depends_on"]) == {"redis"}
