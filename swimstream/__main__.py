"""`python -m swimstream` is the `swimstream` command."""

from __future__ import annotations

from swimstream.cli import main

if __name__ == "__main__":
    main(prog_name="swimstream")
