"""`python -m chaos.freeze`."""

from __future__ import annotations

from chaos.freeze.run import main

if __name__ == "__main__":
    main()
