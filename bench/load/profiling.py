"""Where an edge spends its time, on request: a flame graph of what holds its interpreter while wrk keeps asking."""

import re
import subprocess
import sys
from pathlib import Path

from bench.load.contest import Contestant
from bench.load.saturation import saturate
from bench.servers.cores import on
from bench.servers.progress import say
from bench.servers.stage import Stage

_RATE_HZ = 250
_LASTS_S = 10
_DENIED = (
    "py-spy could not attach to the edge. It may not trace other processes here: run the bench as root, or allow it "
    "(`sudo sysctl kernel.yama.ptrace_scope=0`; in a container `--cap-add SYS_PTRACE`). py-spy said: {reason}"
)


def profile(stage: Stage, row: str, each: Contestant) -> None:
    """Writes `profile-<row>.svg` into the results, where the command line asked for profiles."""
    if not stage.profile:
        return
    stage.results.mkdir(parents=True, exist_ok=True)
    seconds = _LASTS_S if stage.size == "full" else 1
    graph = stage.results / f"profile-{'-'.join(re.findall('[a-z0-9]+', row))}.svg"
    say(f"{row}: profile for {seconds} s")
    with on(stage.cores.generator):
        command = _command(each.server.pid, graph, seconds)
        spy = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: S603
    with spy:
        saturate(each.server, each.replay, seconds + 1, stage.cores)
        output, _ = spy.communicate()
    if spy.returncode == 0:
        _strip_paths(graph)
    say(str(graph) if spy.returncode == 0 else _DENIED.format(reason=output.decode(errors="replace").strip()))


def _strip_paths(graph: Path) -> None:
    """The title is py-spy's command line, which names folders of this machine."""
    text = graph.read_text()
    for folder in (Path(sys.executable).parent, graph.parent.resolve(), graph.parent):
        text = text.replace(f"{folder}/", "")
    graph.write_text(text)


def _command(pid: int, graph: Path, seconds: int) -> list[str]:
    program = Path(sys.executable).with_name("py-spy")
    shown = ["--gil", "--format", "flamegraph", "--output", str(graph)]
    return [str(program), "record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(_RATE_HZ), *shown]
