"""`python -m chaos.peers`."""

from __future__ import annotations

from chaos.peers.command import main

if __name__ == "__main__":
    main()
