"""`python -m chaos.fence.worker PARENT CONFIG`: a whole worker that can run the operator; CONFIG is its TOML file."""

from __future__ import annotations

import logging
import sys
import threading

from chaos.fence.operators import KIND, write
from swimstream import Worker, WorkerConfig
from swimstream.runners.child import die_with


def main() -> None:
    """Run until killed."""
    parent, config = sys.argv[1:]
    die_with(int(parent))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    worker = Worker.from_config(WorkerConfig.from_toml(config))
    worker.register(KIND, write, isolation="process")
    worker.start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
