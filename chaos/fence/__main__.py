"""`python -m chaos.fence`."""

from __future__ import annotations

from chaos.fence.run import main

if __name__ == "__main__":
    main()
