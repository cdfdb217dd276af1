"""`python -m chaos.mutants.leash COMMAND…`: run a command that ends with whoever started it, even by SIGKILL."""

from __future__ import annotations

import os
import sys

from chaos.peers.node import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  # what our own run hands over
