"""`python -m chaos.papers`."""

from __future__ import annotations

from chaos.papers.run import main

if __name__ == "__main__":
    main()
