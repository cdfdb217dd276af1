"""`python -m chaos.fuzz`."""

from __future__ import annotations

from chaos.fuzz.run import main

if __name__ == "__main__":
    main()
