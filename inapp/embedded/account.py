"""Postgres refuses to run as root: the account that runs it then, and what that account can reach."""

import os
import pwd
import subprocess
from pathlib import Path
from typing import NamedTuple, TypedDict

_PREFERRED = ("postgres", "nobody")


class Identity(TypedDict, total=False):
    """Keyword arguments of `subprocess.Popen`; empty for our own identity."""

    user: int
    group: int
    extra_groups: list[int]


class Account(NamedTuple):
    uid: int
    gid: int


def identity(account: Account | None) -> Identity:
    return Identity(user=account.uid, group=account.gid, extra_groups=[]) if account else Identity()


def server_account(cluster: Path) -> Account | None:
    """Whom the server of `cluster` runs as; None means as ourselves. Raises LookupError when nobody fits."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in _PREFERRED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise LookupError(f"Postgres does not run as root, and this machine has none of the users {', '.join(_PREFERRED)}")


def can_enter(account: Account | None, folder: Path) -> bool:
    return account is None or _succeeds(account, "/bin/sh", "-c", 'cd "$1"', "sh", str(folder))


def can_run(account: Account | None, program: Path) -> bool:
    return account is None or _succeeds(account, str(program), "--version")


def private_folder(path: Path, account: Account | None) -> None:
    """Make a new folder that only `account` may enter."""
    path.mkdir(mode=0o700)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def folder_for_all(path: Path) -> None:
    """Make a folder that everybody may read, unless it exists."""
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(0o755)


def _succeeds(account: Account, *command: str) -> bool:
    try:
        ran = subprocess.run(command, cwd="/", capture_output=True, check=False, **identity(account))  # noqa: S603
    except PermissionError:
        return False
    return ran.returncode == 0
