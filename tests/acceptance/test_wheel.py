"""The wheel, built and installed into an empty venv, as a user gets it."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.support.polling import eventually
from tests.support.processes import Processes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_has_the_packages_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"wire", "engine", "store", "service", "admin", "compiler", "edge", "recorder", "inapp"}
    assert "store/migrations/versions/0001_the_first_schema.py" in names
    assert {"inapp/demo/page/index.html", "inapp/demo/page/sendora.js"} <= set(names)


def test_it_runs_from_an_empty_venv_and_stops_cleanly(
    wheel: Path, tmp_path: Path, processes: Processes, data_dir: Path
) -> None:
    inapp = installed(wheel, tmp_path)
    ready_file = tmp_path / "ready.json"
    ports = ("--admin-port", "0", "--edge-port", "0")
    options = (*ports, "--data-dir", str(data_dir / "up"), "--ready-file", str(ready_file))
    up = processes.start("up", *options, command=(str(inapp),))

    def written() -> bool:
        assert up.popen.poll() is None or pytest.fail(up.output)
        return ready_file.exists()

    eventually(written, timeout=90)
    ready = json.loads(ready_file.read_text())
    assert set(ready) == {"admin", "edge", "databaseUrl", "redisUrl"}
    assert httpx.get(f"{ready['admin']}/readyz").status_code == 200
    assert httpx.get(f"{ready['edge']}/readyz").status_code == 200

    create = processes.start(
        "org", "create", "Acme", "--json", "--data-dir", str(data_dir / "up"), command=(str(inapp),)
    )
    assert create.wait() == 0, create.output
    assert set(json.loads(create.output)) == {"orgId", "secretKey", "publicKey"}
    assert up.stop() == 0, up.output


def installed(wheel: Path, folder: Path) -> Path:
    """The `inapp` command of a new venv with nothing but the wheel and what it asks for, in the locked versions."""
    pins = re.findall(r"^([a-z0-9._-]+==[^\s;]+)(.*?)\\?$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(pin + marker.rstrip(" \\") for pin, marker in pins))
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(constraints), str(wheel)], check=True)
    return venv / "bin/inapp"
