"""Requests that are counted in a cheaper way first, and processes that count together."""

import os
import re
import subprocess
import sys
from pathlib import Path

from service.metrics import count_requests, exposition, on_collect

COUNTING = """
import os, sys
from pathlib import Path
from service.shared_metrics import SharedMetrics

shared = SharedMetrics(Path(sys.argv[1]))
shared.begin()
from prometheus_client import Gauge
from service import metrics

used = Gauge("used_bytes", "-", multiprocess_mode="livesum")

def run(worker, number):
    pid = os.fork()
    if not pid:
        shared.count_as(worker)
        metrics.count_requests("GET", "/x", 200, number)
        metrics.count_request("GET", "/y", 200, 0.1)
        used.set(number)
        os._exit(0)
    os.waitpid(pid, 0)

run(0, 5)
run(1, 7)
print("both", metrics.exposition().decode())
shared.forget_gauges(1)
print("one", metrics.exposition().decode())
run(1, 30)
print("again", metrics.exposition().decode())
print("files", *os.listdir(sys.argv[1]))
"""


def counted(text: str, sample: str) -> float:
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def requests(method: str, route: str) -> str:
    return f'inapp_http_requests_total{{method="{method}",route="{route}",status="200"}}'


def test_a_tally_is_asked_before_each_answer_until_it_is_stopped_and_then_a_last_time() -> None:
    waiting = [1]

    def tally() -> None:
        count_requests("GET", "/tallied", 200, sum(waiting))
        waiting.clear()

    stop = on_collect(tally)
    assert counted(exposition().decode(), requests("GET", "/tallied")) == 1
    waiting.append(4)
    assert counted(exposition().decode(), requests("GET", "/tallied")) == 5
    waiting.append(10)
    stop()
    waiting.append(100)
    assert counted(exposition().decode(), requests("GET", "/tallied")) == 15


def test_requests_counted_together_take_no_time() -> None:
    count_requests("BREW", "/untimed", 200, 3)
    text = exposition().decode()
    assert counted(text, requests("other", "/untimed")) == 3
    assert 'inapp_http_request_seconds_count{route="/untimed"}' not in text


def test_processes_that_count_together_tell_their_sum_also_of_those_that_died(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", COUNTING, str(tmp_path)], env=env, capture_output=True, text=True, check=True
    )
    _, both, one, again, files = re.split(r"^(?:both|one|again|files) ", done.stdout, flags=re.MULTILINE)
    assert [counted(text, requests("GET", "/x")) for text in (both, one, again)] == [12, 12, 42]
    assert [counted(text, 'inapp_http_request_seconds_count{route="/y"}') for text in (both, one, again)] == [2, 2, 3]
    assert [counted(text, "used_bytes") for text in (both, one, again)] == [12, 5, 35]
    assert {name.rsplit("_")[-1] for name in files.split()} == {"parent.db", "0.db", "1.db"}
