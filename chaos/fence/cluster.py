"""Three workers, one at-most-one operator. Whoever hosts it is paused until it runs elsewhere, then continued."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from chaos.fence.judge import Trial, Verdict, judge, read_executions
from chaos.fence.operators import KIND, prepare, tokens
from chaos.fence.processes import Handle, TrialError, end, pause, running, start, until
from swimstream.errors import SwimstreamError
from swimstream.model.job import AT_MOST_ONE
from swimstream.runtime.control_client import ControlClient

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from pathlib import Path

NAMES = ("w1", "w2", "w3")
START_S = 60.0
MOVE_S = 90.0
RETURN_S = 60.0
GONE_S = 30.0
ANSWER_S = 30.0


def try_cluster(
    trials: int, *, isolation_s: float, directory: Path, say: Callable[[str], None]
) -> tuple[Verdict, list[Trial]]:
    """Pause whoever runs the operator so many times; raise `TrialError` if the cluster does not do its part."""
    prepare(directory)
    made: list[Trial] = []
    with ExitStack() as stack:
        workers = {name: _start(name, directory, isolation_s=isolation_s, stack=stack) for name in NAMES}
        until(lambda: _all_alive(directory) or None, what="three workers see each other", timeout_s=START_S)
        _submit(directory)
        for number in range(1, trials + 1):
            trial = _try_once(directory, workers, isolation_s=isolation_s)
            made.append(trial)
            say(f"cluster {number}/{trials}: runs elsewhere {trial.moved_s:.1f} s after the pause")
        executions = read_executions(directory)
    return judge(made, executions, tokens(directory)), made


def _try_once(directory: Path, workers: Mapping[str, subprocess.Popen[bytes]], *, isolation_s: float) -> Trial:
    execution = until(lambda: running(directory), what="the operator writes", timeout_s=START_S)
    with Handle(workers[execution.worker].pid) as worker, Handle(execution.pid) as operator:
        paused = pause(worker, operator)
        moved_at = until(lambda: _later(directory, execution.epoch), what="it runs elsewhere", timeout_s=MOVE_S)
        paused.go_on()
        if not operator.wait(GONE_S):
            raise TrialError(f"the paused operator goes on {GONE_S:g} s after it was continued")
        until(lambda: _all_alive(directory) or None, what="the paused worker is back", timeout_s=RETURN_S)
    # nobody renews from anything older than the pause
    deadline = paused.at + isolation_s
    return Trial(
        epoch=execution.epoch,
        pid=execution.pid,
        stopped_at=paused.at,
        deadline=deadline,
        moved_s=moved_at - paused.at,
    )


def _later(directory: Path, epoch: int) -> float | None:
    """Return when an execution of a later epoch has made its first attempt."""
    stamps = [each.stamps[0] for each in read_executions(directory, epoch_min=epoch + 1) if each.stamps]
    return min(stamps, default=None)


def _start(name: str, directory: Path, *, isolation_s: float, stack: ExitStack) -> subprocess.Popen[bytes]:
    if name == NAMES[0]:
        (directory / "port").write_text(str(_free_port()))
    port = (directory / "port").read_text()
    place = f'bind = "127.0.0.1:{port}"' if name == NAMES[0] else f'seeds = ["127.0.0.1:{port}"]'
    config = directory / f"{name}.toml"
    config.write_text(
        f'name = "{name}"\n{place}\nexpect = {len(NAMES)}\npreset = "local"\n'
        f'state_dir = "{directory / name}"\ncontrol = "{_control(directory, name)}"\n'
        f"timing = {{ isolation_timeout_s = {isolation_s!r} }}\n"
    )
    process = start("chaos.fence.worker", str(config), log=directory / f"{name}.log")
    stack.callback(end, process)
    return process


def _control(directory: Path, name: str) -> Path:
    return directory / f"{name}.sock"


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    assert isinstance(port, int)
    return port


def _submit(directory: Path) -> None:
    operator = {"name": "writer", "kind": KIND, "instances": AT_MOST_ONE, "parameters": {"directory": str(directory)}}
    with ControlClient(_control(directory, NAMES[0]), timeout_s=ANSWER_S) as client:
        client.ask("submit", job={"name": "fence", "operators": [operator]})


def _all_alive(directory: Path) -> bool:
    """Return whether every worker sees every one alive."""
    try:
        return all(set(NAMES) <= _alive_to(directory, name) for name in NAMES)
    except SwimstreamError:
        return False


def _alive_to(directory: Path, name: str) -> set[str]:
    with ControlClient(_control(directory, name), timeout_s=ANSWER_S) as client:
        members = client.ask("members")["members"]
    assert isinstance(members, list)
    return {str(each["name"]) for each in members if isinstance(each, dict) and each["state"] == "alive"}
