"""An org's last good bundles on disk: what a restarted edge serves while Redis is dead."""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple
from uuid import UUID

import structlog

from service.logs import one_line
from wire.bundle import Manifest, Version, sha_of
from wire.codec import DecodeError

log = structlog.get_logger("edge")

_MANIFEST = "manifest"
_BEFORE_ANY = Version(-1, -1, -1)


class InUseError(Exception):
    """Another process holds the file."""


def hold(file: Path) -> IO[str]:
    """Makes the file, and its folder, this process's own for as long as the answer is open.

    Raises InUseError, OSError.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = file.open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise InUseError from None
    except OSError:
        lock.close()
        raise
    return lock


class Stored(NamedTuple):
    """A manifest and its bundles by sha, as bytes."""

    org_id: UUID
    manifest: bytes
    bundles: Mapping[str, bytes]


class BundleDisk:
    """`<folder>/<org>/manifest` beside one file a bundle, named by its sha. Blocking: call it on a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._one_at_a_time = threading.Lock()

    def load(self) -> Iterator[Stored]:
        """Every org of which all is there and unharmed; each other one is logged and left out."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for folder in sorted(self._folder.iterdir()):
            try:
                yield _load(folder)
            except (OSError, ValueError) as error:
                log.warning("stored_bundles_unusable", org=folder.name, reason=one_line(error))

    def save(self, org_id: UUID, manifest: Manifest, fresh: Mapping[str, bytes]) -> None:
        """`fresh`: bundles by sha that may be missing on disk. The manifest comes last. Raises OSError."""
        with self._one_at_a_time:
            _save(self._folder / str(org_id), manifest, fresh)

    def take_newer(self, other: Path) -> None:
        """Saves every org of which another disk's folder has a newer manifest; what is not usable there is logged."""
        for folder in sorted(path.parent for path in other.glob(f"*/{_MANIFEST}")):
            try:
                if _version(folder) > _version(self._folder / folder.name):
                    newer = _load(folder)
                    self.save(newer.org_id, Manifest.decode(newer.manifest), newer.bundles)
            except (OSError, ValueError) as error:
                log.warning("newer_bundles_not_taken", org=folder.name, reason=one_line(error))


def _save(folder: Path, manifest: Manifest, fresh: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for sha, data in fresh.items():
        if not (folder / sha).exists():
            _write(folder / sha, data)
    sync_folder(folder)
    _write(folder / _MANIFEST, manifest.encode())
    sync_folder(folder)
    _remove_unreferenced(folder, {_MANIFEST, *manifest.bundles.values()})


def _version(folder: Path) -> Version:
    """Below every other when there is no manifest that can be read."""
    try:
        return Manifest.decode((folder / _MANIFEST).read_bytes()).version
    except (OSError, DecodeError):
        return _BEFORE_ANY


def _load(folder: Path) -> Stored:
    data = (folder / _MANIFEST).read_bytes()
    shas = set(Manifest.decode(data).bundles.values())
    return Stored(UUID(folder.name), data, {sha: _read_bundle(folder / sha) for sha in shas})


def _read_bundle(path: Path) -> bytes:
    """A damaged file is removed, so that the next save writes it anew."""
    data = path.read_bytes()
    if sha_of(data) != path.name:
        path.unlink()
        raise DecodeError(f"bundle {path.name} is damaged")
    return data


def _write(path: Path, data: bytes) -> None:
    """The whole content or none of it, also after a power cut."""
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def sync_folder(folder: Path) -> None:
    """Makes files that were made or renamed in it outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_unreferenced(folder: Path, referenced: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in referenced:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
