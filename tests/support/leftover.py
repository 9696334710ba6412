"""Start an embedded server, say so, and wait to be killed: `python -m tests.support.leftover KIND DATA_DIR`."""

import signal
import sys
from pathlib import Path

from inapp.embedded import EmbeddedPostgres, EmbeddedRedis

if __name__ == "__main__":
    kinds = {"postgres": EmbeddedPostgres, "redis": EmbeddedRedis}
    server = kinds[sys.argv[1]](Path(sys.argv[2]))
    url = server.start()
    sys.stdout.write(f"started {server.pid} {url}\n")
    sys.stdout.flush()
    signal.pause()
