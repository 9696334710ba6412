"""Reading an OpenAPI document."""

from collections.abc import Iterator
from typing import Any, NamedTuple

Document = dict[str, Any]


class Operation(NamedTuple):
    method: str
    path: str
    spec: Document


def operations(document: Document) -> Iterator[Operation]:
    for path, by_method in document["paths"].items():
        for method, spec in by_method.items():
            yield Operation(method.upper(), path, spec)


def body_example(operation: Operation, document: Document) -> Any:
    """The JSON example of an operation that has a body. Raises KeyError where there is none."""
    content = operation.spec["requestBody"]["content"]["application/json"]
    return content["example"] if "example" in content else resolved(content["schema"], document)["examples"][0]


def resolved(schema: Document, document: Document) -> Document:
    """The schema itself, or the one that it refers to."""
    if "$ref" not in schema:
        return schema
    found: Document = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found
