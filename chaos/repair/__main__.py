"""`python -m chaos.repair`."""

from __future__ import annotations

from chaos.repair.run import main

if __name__ == "__main__":
    main()
