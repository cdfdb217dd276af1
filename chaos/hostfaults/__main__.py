"""`python -m chaos.hostfaults`."""

from __future__ import annotations

from chaos.hostfaults.check import main

if __name__ == "__main__":
    main()
