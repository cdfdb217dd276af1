"""`python -m chaos.authority`."""

from __future__ import annotations

from chaos.authority.run import main

if __name__ == "__main__":
    main()
