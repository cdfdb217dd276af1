"""`python -m chaos.mutants`."""

from __future__ import annotations

from chaos.mutants.run import main

if __name__ == "__main__":
    main()
