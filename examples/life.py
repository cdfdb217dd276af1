"""A job that changes while it runs: scaled, updated, cancelled and revived: `python examples/life.py`."""

import swimstream

worker = swimstream.Worker(name="w1", preset="local")


@worker.operator("tick")
def tick(ctx: swimstream.OperatorContext) -> None:
    """Say once that it runs, and go on until it is told to stop."""
    every_s = ctx.parameters["every_s"]
    assert isinstance(every_s, float)
    print(f"{ctx.instance} starts, every {every_s} s")
    beats = int.from_bytes(ctx.resume_from)
    while not ctx.wait_cancelled(every_s):
        beats += 1
        ctx.progress(beats)
        ctx.checkpoint(beats.to_bytes(8))  # a new epoch goes on from here


def spec(*, every_s: float, parallelism: int = 1) -> swimstream.JobSpec:
    """Return the job: two operators that tick, of which the first can be changed."""
    fast = swimstream.OperatorSpec(name="fast", kind="tick", parallelism=parallelism, parameters={"every_s": every_s})
    slow = swimstream.OperatorSpec(name="slow", kind="tick", parameters={"every_s": 0.1})
    return swimstream.JobSpec(name="life", operators=[fast, slow])


if __name__ == "__main__":
    with worker, worker.events() as events:

        def until(state: str) -> None:
            """Wait until the job stands so, and say in which version."""
            while not worker.jobs() or (job := worker.job("life")).state.value != state:
                events.take()
            print(f"life is {state} in version {job.version}: {dict(job.counts)}")

        worker.submit(spec(every_s=0.01)).wait()
        until("running")
        worker.scale("life", "fast", 3).wait()  # two more start, the others go on
        until("running")
        worker.update(spec(every_s=0.02, parallelism=3)).wait()  # `slow` goes on
        until("running")
        worker.cancel("life").wait()
        until("cancelled")
        worker.update(spec(every_s=0.01)).wait()  # revives it
        until("running")
