from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from admin.answers import example
from admin.payloads import Payload

MAX_EVENTS = 500

_EVENT = WithJsonSchema(
    {
        "type": "object",
        "required": ["eventType"],
        "properties": {
            "eventType": {"type": "string"},
            "userId": {"type": "string"},
            "anonymousId": {"type": "string"},
            "timestamp": {"type": "string", "format": "date-time"},
            "properties": {"type": "object"},
            "id": {"type": "string", "description": "makes a re-send count once"},
        },
    }
)


class Track(Payload):
    model_config = example(
        events=[
            {
                "id": "order-1042",
                "eventType": "order.paid",
                "userId": "ada",
                "timestamp": "2026-05-01T09:00:00.000Z",
                "properties": {"amount": 49},
            }
        ]
    )

    events: Annotated[list[Annotated[Any, _EVENT]], Field(max_length=MAX_EVENTS)]
