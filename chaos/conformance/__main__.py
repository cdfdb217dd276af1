"""`python -m chaos.conformance`."""

from __future__ import annotations

from chaos.conformance.run import main

if __name__ == "__main__":
    main()
