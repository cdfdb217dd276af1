"""Which labs of real hosts there are, and one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.net.hosts import MTU_USUAL
from chaos.net.kernel import NetemLab, why_no_netem
from chaos.net.spaces import LabError
from chaos.net.tun import TunLab

if TYPE_CHECKING:
    from chaos.net.hosts import HostLab

BACKENDS = ("netem", "tun")


def open_lab(backend: str, *, hosts: int, seed: int = 1, mtu: int = MTU_USUAL) -> HostLab:
    """Return a lab, not yet entered: `netem`, `tun`, or for `auto` netem where the kernel has it, else tun.

    Raise `LabError` if netem is asked for and not there.
    """
    chosen = usual_backend() if backend == "auto" else backend
    if chosen == "tun":
        return TunLab(hosts=hosts, seed=seed, mtu=mtu)
    assert chosen == "netem", chosen
    why = why_no_netem() if backend == "netem" else ""
    if why:
        raise LabError(why)
    return NetemLab(hosts=hosts, mtu=mtu)


def usual_backend() -> str:
    """Return `netem` where the kernel has it and lets us, else `tun`."""
    return "tun" if why_no_netem() else "netem"
