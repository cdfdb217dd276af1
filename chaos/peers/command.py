"""The command: what to measure, where to write it, and the verdict as its exit status."""

from __future__ import annotations

import base64
import json
import secrets
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chaos.orderly import end_orderly_on
from chaos.peers.peer import PEERS, Peer, PeerMissingError, find_peer
from chaos.peers.plot import draw, draw_sizes
from chaos.peers.report import Outcome
from chaos.peers.run import SCENARIOS, Plan, Progress, run_all
from chaos.peers.settings import PRESETS
from chaos.peers.show import table, verdicts
from chaos.peers.traffic import Sniffer, SnifferRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY_BYTES = 32
NODES_MAX = 128


def find_peers(names: Sequence[str], build_dir: Path, left_out: dict[str, str], progress: Progress) -> list[Peer]:
    """Return those that can be measured here; note the others in `left_out`."""
    found = []
    for name in names:
        try:
            peer = find_peer(name, build_dir=build_dir)
        except PeerMissingError as error:
            left_out[name] = str(error)
            progress.say(f"{name} is left out: {error}")
        else:
            progress.say(f"{name} {peer.version}")
            found.append(peer)
    return found


def why_no_packets() -> str:
    """Return why packets cannot be counted here; empty if they can."""
    try:
        with Sniffer(()):
            return ""
    except SnifferRefusedError as error:
        return str(error)


def show(outcome: Outcome) -> None:
    """Print what came out."""
    for nodes in outcome.results:
        click.echo(f"\n{outcome.conditions(nodes)}\n\n{table(outcome.summaries(nodes), outcome.versions)}\n")
        targets = outcome.targets(nodes)
        if targets:
            click.echo(f"Targets at {nodes} nodes\n{verdicts(targets)}")
    click.echo(f"\nencryption: {', '.join(f'{name} {cipher}' for name, cipher in outcome.encryption().items())}")
    for name, why in outcome.left_out.items():
        click.echo(f"{name} is left out: {why}")
    if outcome.packets_why:
        click.echo(outcome.packets_why)
    click.echo("ok" if outcome.is_ok() else "NOT ok")


def plot(outcome: Outcome, path: Path) -> None:
    """Draw each size into a file of its own, and all sizes into `path`."""
    try:
        for nodes, results in outcome.results.items():
            draw(path.with_stem(f"{path.stem}-{nodes}"), results.runs, title=outcome.conditions(nodes))
        draw_sizes(path, {nodes: outcome.summaries(nodes) for nodes in outcome.results})
    except ImportError:
        click.echo("no plot: matplotlib is missing: pip install '.[bench]'")


def measure(plan: Plan, names: Sequence[str], build_dir: Path, progress: Progress) -> Outcome:
    """Do what is planned."""
    left_out: dict[str, str] = {}
    peers = find_peers(tuple(dict.fromkeys(names)), build_dir, left_out, progress)
    packets_why = why_no_packets() if "idle" in plan.scenarios else ""
    if packets_why:
        progress.say(packets_why)
    with tempfile.TemporaryDirectory(prefix="swimstream-peers-") as scratch:
        key_file = Path(scratch) / "key" if plan.encrypted else None
        if key_file is not None:
            key_file.touch(mode=0o600)
            key_file.write_text(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
        found = run_all(peers, plan, key_file=key_file, counts_packets=not packets_why, progress=progress)
    versions = {peer.name: peer.version for peer in peers}
    return Outcome(plan=plan, results=found, versions=versions, left_out=left_out, packets_why=packets_why)


@click.command()
@click.option("--nodes", "sizes", multiple=True, default=(16,), show_default=True, help="Repeat for several sizes.")
@click.option("--runs", default=5, show_default=True, type=click.IntRange(1, 1000), help="Runs of each peer and size.")
@click.option("--peers", "names", multiple=True, default=PEERS, type=click.Choice(PEERS), help="Repeat for several.")
@click.option("--scenario", "scenarios", multiple=True, default=SCENARIOS, type=click.Choice(SCENARIOS))
@click.option("--preset", default="lan", show_default=True, type=click.Choice(sorted(PRESETS)))
@click.option("--encrypted/--plaintext", default=True, show_default=True, help="All alike.")
@click.option("--warm", default=60.0, show_default=True, type=click.FloatRange(0, 3600), help="Seconds before idling.")
@click.option("--idle", default=30.0, show_default=True, type=click.FloatRange(0.5, 3600), help="Idle seconds.")
@click.option("--changes", default=3, show_default=True, type=click.IntRange(1, 100), help="Changes a run.")
@click.option("--kills", default=3, show_default=True, type=click.IntRange(1, 64), help="Kills a run.")
@click.option("--share", default=0.25, show_default=True, type=click.FloatRange(0.01, 0.9), help="Of stopped nodes.")
@click.option("--stop", default=4.0, show_default=True, type=click.FloatRange(0.1, 600), help="Seconds of SIGSTOP.")
@click.option("--starve", default=20.0, show_default=True, type=click.FloatRange(0.1, 600), help="Starved seconds.")
@click.option("--seed", default=1, show_default=True, help="Of the choice of victims.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures and runs there.")
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), help="Write SVGs there; needs matplotlib.")
@click.option("--build", "build_dir", default=Path("build/peers"), type=click.Path(path_type=Path), show_default=True)
def main(
    *,
    sizes: tuple[int, ...],
    runs: int,
    names: tuple[str, ...],
    scenarios: tuple[str, ...],
    preset: str,
    encrypted: bool,
    warm: float,
    idle: float,
    changes: int,
    kills: int,
    share: float,
    stop: float,
    starve: float,
    seed: int,
    json_path: Path | None,
    plot_path: Path | None,
    build_dir: Path,
) -> None:
    """Measure swimstream beside memberlist and kinship. Exits with 0 only if all was measured and no target missed."""
    if sys.platform != "linux":
        raise click.ClickException("expected Linux: processes are read from /proc and share one monotonic clock")
    for nodes in sizes:
        if not max(3, 2 * kills) <= nodes <= NODES_MAX:
            raise click.BadParameter(f"--nodes: expected 3 to {NODES_MAX}, and twice --kills at least, got {nodes}")
    end_orderly_on(signal.SIGTERM, signal.SIGHUP)
    plan = Plan(
        sizes=tuple(dict.fromkeys(sizes)),
        runs=runs,
        scenarios=scenarios,
        warm_s=warm,
        idle_s=idle,
        changes=changes,
        kills=kills,
        share=share,
        stop_s=stop,
        starve_s=starve,
        encrypted=encrypted,
        seed=seed,
        settings=PRESETS[preset],
    )
    outcome = measure(plan, names, build_dir, Progress())
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(outcome.document(), indent=2) + "\n")
    if plot_path is not None:
        plot(outcome, plot_path)
    show(outcome)
    sys.exit(0 if outcome.is_ok() else 1)
