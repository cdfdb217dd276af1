"""`python -m chaos.minority`."""

from __future__ import annotations

from chaos.minority.run import main

if __name__ == "__main__":
    main()
