"""What one disk takes over of another's stored bundles."""

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import pytest

from edge.disk import BundleDisk
from wire.bundle import EVERYONE, Bundle, Manifest, Version, sha_of

ORG = UUID(int=7)


def org_at(revision: int) -> tuple[Manifest, Mapping[str, bytes]]:
    """A manifest with a bundle and a key of its own."""
    bundle = Bundle(EVERYONE, {"revision": revision}, ()).encode()
    sha = sha_of(bundle)
    return Manifest(Version(0, 1, revision), 0, {EVERYONE: sha}, frozenset({b"%d" % revision})), {sha: bundle}


def stored(folder: Path, revision: int) -> Path:
    """The folder of the org."""
    BundleDisk(folder).save(ORG, *org_at(revision))
    return folder / str(ORG)


def revisions(folder: Path) -> list[int]:
    return [Manifest.decode(each.manifest).version.revision for each in BundleDisk(folder).load()]


@pytest.mark.parametrize(("own", "other"), [(9, 10), (10, 9), (10, 10)])
def test_the_newer_of_two_is_kept_whole(tmp_path: Path, own: int, other: int) -> None:
    stored(tmp_path / "own", own)
    stored(tmp_path / "other", other)
    BundleDisk(tmp_path / "own").take_newer(tmp_path / "other")
    (found,) = BundleDisk(tmp_path / "own").load()
    manifest, bundles = org_at(10)
    assert (found.org_id, found.manifest, found.bundles) == (ORG, manifest.encode(), bundles)
    assert revisions(tmp_path / "other") == [other]


def test_what_is_not_there_yet_is_taken_and_a_disk_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    stored(tmp_path / "other", 1)
    disk = BundleDisk(tmp_path / "own")
    disk.take_newer(tmp_path / "missing")
    disk.take_newer(tmp_path / "other")
    assert revisions(tmp_path / "own") == [1]


@pytest.mark.parametrize("manifest", [b"", b"\xc1", b"\x80"])
def test_a_manifest_that_cannot_be_read_counts_as_none(tmp_path: Path, manifest: bytes) -> None:
    (stored(tmp_path / "own", 2) / "manifest").write_bytes(manifest)
    stored(tmp_path / "other", 1)
    (stored(tmp_path / "broken", 3) / "manifest").write_bytes(manifest)
    for other in ("other", "broken"):
        BundleDisk(tmp_path / "own").take_newer(tmp_path / other)
    assert revisions(tmp_path / "own") == [1]


@pytest.mark.parametrize("content", [None, b"other bytes"])
def test_what_is_newer_but_not_whole_replaces_nothing(tmp_path: Path, content: bytes | None) -> None:
    stored(tmp_path / "own", 1)
    newer = stored(tmp_path / "other", 2)
    (sha,) = org_at(2)[1]
    (newer / sha).unlink() if content is None else (newer / sha).write_bytes(content)
    BundleDisk(tmp_path / "own").take_newer(tmp_path / "other")
    assert revisions(tmp_path / "own") == [1]
