"""The `swimstream` command. Each subcommand is imported when it is called, so that one never breaks another."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from typing import TYPE_CHECKING

try:
    import click
except ModuleNotFoundError as missing:
    if missing.name != "click":
        raise
    HAS_CLICK = False
else:
    HAS_CLICK = True

if TYPE_CHECKING or HAS_CLICK:
    COMMANDS = {
        "demo": ("swimstream.cli.demo", "demo", "Run a real job on real processes, kill some, check the result."),
        "worker": ("swimstream.cli.worker", "worker", "Run a worker for your own module of operators."),
        "peer": ("swimstream.cli.peer", "peer", "Be the peer of a process in another language that attaches."),
        "members": ("swimstream.cli.inspect", "members", "Show who is alive, as a running worker sees it."),
        "operators": ("swimstream.cli.inspect", "operators", "Show what runs where and how far it has come."),
        "leader": ("swimstream.cli.inspect", "leader", "Show who leads, since which term."),
        "council": ("swimstream.cli.council", "council", "Show the council's seats; resize, transfer, recover."),
        "decisions": ("swimstream.cli.inspect", "decisions", "Show what the leaders decided, and why."),
        "submit": ("swimstream.cli.inspect", "submit", "Hand a job file to a running cluster."),
        "jobs": ("swimstream.cli.jobs", "jobs", "Show every job, its state and what is the matter with it."),
        "job": ("swimstream.cli.jobs", "job", "Show one job, and how each of its instances stands."),
        "update": ("swimstream.cli.jobs", "update", "Have a running job become what a job file says."),
        "scale": ("swimstream.cli.jobs", "scale", "Have an operator executed in so many instances."),
        "cancel": ("swimstream.cli.jobs", "cancel", "Have nothing of a job executed any more."),
        "restart": ("swimstream.cli.jobs", "restart", "Restart a job, an operator or an instance."),
        "pardon": ("swimstream.cli.jobs", "pardon", "Have an instance in quarantine executed again."),
        "cordon": ("swimstream.cli.placing", "cordon", "Have a worker given nothing new."),
        "uncordon": ("swimstream.cli.placing", "uncordon", "Have a worker given instances again."),
        "drain": ("swimstream.cli.placing", "drain", "Have what a worker has moved elsewhere."),
        "assert-dead": ("swimstream.cli.placing", "assert_dead", "Give your word that a worker is dead."),
        "rebalance": ("swimstream.cli.placing", "rebalance", "Have instances moved to workers that join, or not."),
        "explain": ("swimstream.cli.explain", "explain", "Show why an instance is where it is."),
        "what-if": ("swimstream.cli.explain", "what_if", "Show what would come of the death of workers."),
        "tags": ("swimstream.cli.talk", "tags", "Show what workers say of themselves; set or remove tags."),
        "broadcast": ("swimstream.cli.talk", "broadcast", "Tell every application of a cluster something."),
        "send": ("swimstream.cli.talk", "send", "Send the application of one worker something."),
        "query": ("swimstream.cli.talk", "query", "Ask every application something, and show who answers what."),
        "ping": ("swimstream.cli.talk", "ping", "Ask every worker for a sign of life."),
        "logs": ("swimstream.cli.logs", "logs", "Show what an instance printed, wherever it runs."),
        "remove": ("swimstream.cli.inspect", "remove", "Forget a dead worker that will not come back."),
        "keys": ("swimstream.cli.keys", "keys", "See and change the keys of a running cluster."),
        "keygen": ("swimstream.cli.keygen", "keygen", "Make a secret key for a cluster."),
        "simulate": ("swimstream.cli.simulate", "simulate", "Run clusters in virtual time and check the promises."),
    }

    class _Commands(click.Group):
        """Knows the names and the short help of its commands without importing them."""

        def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click passes it
            """Return the names in the order of the help."""
            return list(COMMANDS)

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click passes it
            """Import one command; None if there is none of that name."""
            if cmd_name not in COMMANDS:
                return None
            module, attribute, _ = COMMANDS[cmd_name]
            try:
                command = getattr(importlib.import_module(module), attribute)
            except ImportError as error:
                raise click.ClickException(
                    f"the command {cmd_name!r} cannot be loaded: {error} (is something missing? "
                    f"pip install 'swimstream[cli]')"
                ) from error
            if not isinstance(command, click.Command):
                raise click.ClickException(f"{module}.{attribute}: expected a click command, got {command!r}")
            return command

        def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click passes it
            """List the commands without importing any."""
            with formatter.section("Commands"):
                formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001  # click's face
        if wanted and not ctx.resilient_parsing:
            try:
                version = importlib.metadata.version("swimstream")
            except importlib.metadata.PackageNotFoundError:
                version = "(a checkout that is not installed)"
            click.echo(f"swimstream {version}")
            ctx.exit()

    @click.group(cls=_Commands)
    @click.option(
        "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
    )
    def main() -> None:
        """Stream workers that watch each other, elect a leader and re-execute what was lost."""

else:

    def main(*, prog_name: str = "swimstream") -> None:
        """Say what is missing; exit status 2."""
        sys.stderr.write(f"{prog_name}: the command line needs: pip install 'swimstream[cli]'\n")
        raise SystemExit(2)
