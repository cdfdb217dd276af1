"""An operator that never runs twice and never writes twice, though its worker is gone: `python examples/once.py`.

Three workers; one of them stops without a goodbye while it runs the operator. Takes some 20 s, half of which is
the wait for the end of whatever the lost worker could still do.
"""

import contextlib
import tempfile
import time
from pathlib import Path

import swimstream
from swimstream.fencing import FencedFile

LINES = 50


def write(ctx: swimstream.OperatorContext) -> None:
    """Append numbered lines to a file, each under the token of this execution, in a process of its own."""
    path = Path(str(ctx.parameters["path"]))
    log = FencedFile(path, token=ctx.epoch)
    log.claim()  # from here on no older execution can write, so the file itself says where to go on
    for number in range(len(path.read_text().splitlines()), LINES):
        log.append(f"{number} {ctx.worker} {ctx.epoch}\n".encode())
        if ctx.wait_cancelled(0.1):
            return


def next_run(events: swimstream.Subscription) -> swimstream.InstanceStatus:
    """Wait until the instance runs somewhere, under another token than before."""
    for event in events:
        match event:
            case swimstream.InstanceChanged(status) if status.state is swimstream.InstanceState.RUNNING:
                print(f"{status.instance} runs on {status.run.name}, token {status.epoch}")
                return status
    raise AssertionError("the worker whose events these are has stopped")


def main() -> None:
    """Let the operator begin, stop its worker hard, and see what becomes of it."""
    with contextlib.ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
        path.touch()
        workers: dict[str, swimstream.Worker] = {}
        seeds: list[str] = []
        for name, capacity in (("w1", 1), ("w2", 1), ("watcher", 0)):  # the third one only watches and votes
            worker = swimstream.Worker(name=name, preset="local", expect=3, seeds=seeds, capacity=capacity)
            worker.register("write", write, isolation="process")
            workers[name] = stack.enter_context(worker)
            seeds = [str(workers["w1"].address)]
        watcher = workers["watcher"]
        events = stack.enter_context(watcher.events())
        operator = swimstream.OperatorSpec(
            name="write", kind="write", instances="at-most-one", parameters={"path": str(path)}
        )
        watcher.submit(swimstream.JobSpec(name="once", operators=[operator])).wait()

        first = next_run(events)
        time.sleep(2)  # let it write
        workers[first.run.name].stop(leave=False)
        print(f"{first.run.name} has stopped without a goodbye")
        second = next_run(events)
        watcher.finished("once").wait()
        try:
            FencedFile(path, token=first.epoch).append(b"a late write\n")
        except swimstream.StaleToken as error:
            print(f"a late write is refused: {error}")

        lines = [line.split() for line in path.read_text().splitlines()]
        assert [int(number) for number, _, _ in lines] == list(range(LINES)), "each line once, in order"
        for status in (first, second):
            count = sum(int(token) == status.epoch for _, _, token in lines)
            print(f"{count} lines by {status.run.name} with token {status.epoch}")


if __name__ == "__main__":
    main()
