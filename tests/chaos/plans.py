"""The smallest benchmark with everything in it."""

from __future__ import annotations

from chaos.peers.run import SCENARIOS, Plan
from chaos.peers.settings import LOCAL

SMALL = Plan(
    sizes=(3,),
    runs=1,
    scenarios=SCENARIOS,
    warm_s=0,
    idle_s=1,
    changes=1,
    kills=1,
    share=0.25,
    stop_s=1,
    starve_s=1,
    encrypted=True,
    seed=1,
    settings=LOCAL,
)
