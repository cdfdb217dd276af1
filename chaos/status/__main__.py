"""`python -m chaos.status`."""

from __future__ import annotations

from chaos.status.run import main

if __name__ == "__main__":
    main()
