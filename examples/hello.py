"""One worker, one operator: `python examples/hello.py`."""

import swimstream

worker = swimstream.Worker(name="w1", preset="local")  # more workers: seeds=["127.0.0.1:7946"], expect=3


@worker.operator("count")
def count(ctx: swimstream.OperatorContext) -> None:
    """Count to `upto`, resuming where an earlier execution left off."""
    upto = ctx.parameters["upto"]
    assert isinstance(upto, int)
    for number in range(int.from_bytes(ctx.resume_from), upto):
        print(f"{ctx.instance} on {ctx.worker}, epoch {ctx.epoch}: {number}")
        ctx.progress(number + 1)
        ctx.checkpoint((number + 1).to_bytes(4))  # where the next execution resumes


job = swimstream.JobSpec(
    name="hello",
    operators=[swimstream.OperatorSpec(name="count", kind="count", parameters={"upto": 5})],
)

if __name__ == "__main__":
    with worker:  # in trio or asyncio: async with worker
        worker.submit(job).wait()  # in trio or asyncio: await worker.submit(job)
        worker.finished("hello").wait()
