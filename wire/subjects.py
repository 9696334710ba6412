"""A subject is the text that names a customer inside an org: `u:<userId>` or `a:<anonymousId>`."""

ID_MAX_CHARACTERS = 256


def user(user_id: str) -> str:
    return "u:" + user_id


def anonymous(anonymous_id: str) -> str:
    return "a:" + anonymous_id


def is_user(subject: str) -> bool:
    return subject.startswith("u:")


def bare_id(subject: str) -> str:
    """The id as the app knows it, without the prefix."""
    return subject[2:]
