"""How the API names a customer: by the bare id, under `userId` or `anonymousId`."""

from admin.fields import Answer
from wire import subjects


class CustomerRef(Answer):
    """One of the two."""

    user_id: str | None = None
    anonymous_id: str | None = None


def ref(subject: str) -> CustomerRef:
    bare = subjects.bare_id(subject)
    return CustomerRef(user_id=bare) if subjects.is_user(subject) else CustomerRef(anonymous_id=bare)
