"""`python -m chaos.worlds`."""

from __future__ import annotations

from chaos.worlds.run import main

if __name__ == "__main__":
    main()
