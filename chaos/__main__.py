"""`python -m chaos`: what the chaos suite can be asked for."""

from __future__ import annotations

import click

from chaos.conformance.run import main as conformance
from chaos.doctor import main as doctor


@click.group()
def main() -> None:
    """Faults on purpose, on real processes and real packets."""


main.add_command(doctor, "doctor")
main.add_command(conformance, "conformance")

if __name__ == "__main__":
    main()
