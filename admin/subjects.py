"""How the API names a customer: by the bare id, under `userId` or `anonymousId`."""

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from admin.answers import Answer, example
from wire import subjects


class CustomerRef(Answer):
    """One of the two."""

    model_config = example(userId="ada")

    user_id: str | None = None
    anonymous_id: str | None = None

    @model_serializer(mode="wrap")
    def _only_the_one(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        absent = {"user_id", "userId"} if self.user_id is None else {"anonymous_id", "anonymousId"}
        return {name: value for name, value in serialize(self).items() if name not in absent}


def ref(subject: str) -> CustomerRef:
    bare = subjects.bare_id(subject)
    return CustomerRef(user_id=bare) if subjects.is_user(subject) else CustomerRef(anonymous_id=bare)
