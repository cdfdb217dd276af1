"""`python -m chaos.council`."""

from __future__ import annotations

from chaos.council.run import main

if __name__ == "__main__":
    main()
