"""`python -m chaos.recovery`."""

from __future__ import annotations

from chaos.recovery.run import main

if __name__ == "__main__":
    main()
