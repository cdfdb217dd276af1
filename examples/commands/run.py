"""Real stream software as operators, unchanged: jq cleans, Bytewax counts. `python examples/commands/run.py`.

`--with coreutils` does without Bytewax (`pip install bytewax`).
"""

import argparse
import collections
import json
import sys
import tempfile
from pathlib import Path
from random import Random

import swimstream

HERE = Path(__file__).parent
PARTS = 3
WORDS = ("Stream", "swim", "Quorum", "epoch", "fence", None)
WAIT_S = 60.0


def write_parts(directory: Path) -> dict[str, int]:
    """Write the input; return how often each word occurs in it."""
    rng = Random(5)
    counts: collections.Counter[str] = collections.Counter()
    for index in range(PARTS):
        with (directory / f"part-{index}.jsonl").open("w") as part:
            for _ in range(10_000):
                word = rng.choice(WORDS)
                part.write(json.dumps({"word": word}) + "\n")
                counts.update([word.lower()] if word else [])
    return dict(counts)


def job_of(directory: Path, counter: str) -> swimstream.JobSpec:
    """Return the job: each part is cleaned on its own, then all are counted."""
    return swimstream.JobSpec(
        name="words",
        operators=[
            swimstream.OperatorSpec(
                name="clean", kind="clean", parallelism=PARTS, parameters={"directory": str(directory)}
            ),
            swimstream.OperatorSpec(
                name="count",
                kind=counter,
                inputs=("clean",),
                parameters={
                    "directory": str(directory),
                    "parts": PARTS,
                    "python": sys.executable,
                    "flow": str(HERE / "flow.py"),
                },
            ),
        ],
    )


def main() -> None:
    """Run the job on a worker of this process, and compare what comes out."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--with", dest="counter", choices=("bytewax", "coreutils"), default="bytewax")
    counter = arguments.parse_args().counter
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        expected = write_parts(directory)
        config = swimstream.WorkerConfig.from_toml(HERE / "worker.toml")
        worker = swimstream.Worker(name="w1", preset="local", logs=directory / "logs", commands=config.commands)
        with worker:
            worker.submit(job_of(directory, counter)).wait(WAIT_S)
            worker.finished("words").wait(WAIT_S)
            said = worker.logs("words/clean[1]").wait(WAIT_S).kept.data.decode()
            print("words/clean[1] printed:", next(line for line in said.splitlines() if not line.startswith("---")))
        lines = [json.loads(line) for line in (directory / "counts.jsonl").read_text().splitlines()]
        found = {line["word"]: line["count"] for line in lines}
        print(json.dumps(found, sort_keys=True))
        if found != expected:
            sys.exit(f"expected {expected}")
        print("as expected")


if __name__ == "__main__":
    main()
