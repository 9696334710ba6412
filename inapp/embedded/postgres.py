"""A real Postgres 18 on this machine, out of a wheel."""

import hashlib
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from inapp.embedded.account import Account, can_enter, folder_for_all, identity, private_folder, server_account
from inapp.embedded.binaries import postgres_binaries
from inapp.embedded.ports import HOST
from inapp.embedded.processes import command_line, read_pid
from inapp.embedded.server import EmbeddedServer

STATE_DIR = Path("/var/lib/inapp")

_MARK = "cluster_name=inapp_embedded"
# LC_ALL: on macOS Postgres refuses to start when finding the locale makes it multithreaded.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "io_method": "sync",
    "jit": "off",
    # One machine runs everything, and containers often have too little shared memory for parallel plans.
    "max_parallel_workers_per_gather": "0",
}
# A commit still reaches the operating system, so a killed server loses nothing.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedPostgres(EmbeddedServer):
    """Postgres with one database `inapp` and its owner `inapp`, a superuser; strings compare by code point.

    As root the server runs as an unprivileged user. Where that user cannot enter `data_dir`, the tables lie in a folder
    under `/var/lib/inapp`, to which the link `elsewhere` in `data_dir` points.
    """

    name = "Postgres"
    variable = "DATABASE_URL"
    stop_signal = signal.SIGINT  # "fast shutdown": ends sessions, then writes everything out

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        super().__init__(data_dir, durable=durable)
        self._elsewhere = self.data_dir / "elsewhere"
        self._password = self.data_dir / "password"
        self._account: Account | None = None
        self._bin = Path()

    @property
    def url(self) -> str:
        return f"postgresql://inapp:{self._password.read_text()}@{HOST}:{self.port}/inapp"

    @property
    def cluster(self) -> Path:
        """The folder that Postgres itself calls its data directory."""
        home = self._elsewhere.resolve() if self._elsewhere.is_symlink() else self.data_dir
        return home / "cluster"

    def folders(self) -> tuple[Path, ...]:
        return self.data_dir, self.cluster.parent

    def prepare(self) -> None:
        try:
            self._account = server_account(self.cluster)
        except LookupError as error:
            raise self.failure(str(error)) from None
        if not self.cluster.exists() and not can_enter(self._account, self.data_dir):
            self._elsewhere.unlink(missing_ok=True)
            self._elsewhere.symlink_to(self._new_folder_elsewhere())
        self._bin = postgres_binaries(self._account, STATE_DIR)
        if not self.cluster.exists():
            self._create_cluster()

    def pid_file(self) -> Path:
        return self.cluster / "postmaster.pid"

    def is_ours(self, command: str) -> bool:
        return f"-D {self.cluster} " in command and _MARK in command

    def stop_left_over(self) -> None:
        super().stop_left_over()
        pid = read_pid(self.pid_file())
        command = command_line(pid) if pid is not None else ""
        if _serves(command, self.cluster):
            raise self.in_use(f"the server with process id {pid}")
        # Postgres would refuse to start if the process id now belongs to any other process of its user.
        self.pid_file().unlink(missing_ok=True)

    def launch(self, port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        settings = _SETTINGS if self.durable else _SETTINGS | _NOT_DURABLE
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return subprocess.Popen(  # noqa: S603
            [str(self._bin / "postgres"), "-D", str(self.cluster), "-c", _MARK, "-p", str(port), *options],
            cwd="/",
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C meant for us must not stop it before its clients
            **identity(self._account),
        )

    def is_ready(self, pid: int, port: int) -> bool:
        try:
            lines = self.pid_file().read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(pid)] and lines[7:8] == ["ready   "]

    def _new_folder_elsewhere(self) -> Path:
        folder_for_all(STATE_DIR)
        name = hashlib.sha256(str(self.data_dir).encode()).hexdigest()[:16]
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=STATE_DIR))
        folder.chmod(0o711)
        return folder

    def _create_cluster(self) -> None:
        """All or nothing: a first start that is killed leaves no half-made cluster for the second."""
        staging = self.cluster.with_name("cluster.new")
        shutil.rmtree(staging, ignore_errors=True)
        private_folder(staging, self._account)
        password = secrets.token_urlsafe(24)
        sync = () if self.durable else ("--no-sync",)
        self._run("initdb", "-D", str(staging), *_INITDB, *sync)
        statements = f"ALTER ROLE inapp PASSWORD '{password}'\nCREATE DATABASE inapp\n"
        self._run("postgres", "--single", "-D", str(staging), "-c", "exit_on_error=on", "postgres", stdin=statements)
        (staging / "pg_hba.conf").write_text(f"host all inapp {HOST}/32 scram-sha-256\n")
        self._password.touch(mode=0o600)
        self._password.write_text(password)
        staging.rename(self.cluster)

    def _run(self, program: str, *arguments: str, stdin: str = "") -> None:
        with self.log.open("ab") as log:
            ran = subprocess.run(  # noqa: S603
                [str(self._bin / program), *arguments],
                cwd="/",
                env=_ENVIRONMENT,
                input=stdin.encode(),
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
                **identity(self._account),
            )
        if ran.returncode != 0:
            raise self.failure(f"{program} failed with {ran.returncode}")


_INITDB = (
    "--username=inapp",
    "--auth=reject",  # until we write the one rule that lets anybody in
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)


def _serves(command: str, cluster: Path) -> bool:
    """Whether a command line is that of a Postgres on `cluster`, or of one that does not say where its data is."""
    program = Path(command.split(" ", 1)[0]).name
    return f"-D {cluster} " in command or (program in ("postgres", "postmaster") and " -D " not in command)
