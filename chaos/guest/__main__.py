"""`python -m chaos.guest --out DIR -- COMMAND…`."""

from __future__ import annotations

from chaos.guest.run import main

if __name__ == "__main__":
    main()
