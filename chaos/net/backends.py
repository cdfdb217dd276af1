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
    why = why_no_netem() if backend in ("netem", "auto") else ""
    if backend == "tun" or (backend == "auto" and why):
        return TunLab(hosts=hosts, seed=seed, mtu=mtu)
    if why:
        raise LabError(why)
    return NetemLab(hosts=hosts, mtu=mtu)
