"""`python -m chaos.soak`."""

from __future__ import annotations

from chaos.soak.run import main

if __name__ == "__main__":
    main()
