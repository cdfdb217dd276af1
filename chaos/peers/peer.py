"""Which implementations can be measured here, how a node of each is started, and why one is left out."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import attrs

ROOT = Path(__file__).parent.parent.parent
GO_SOURCE = Path(__file__).parent / "memberlist"
GO_PATH = Path("/usr/share/gocode")
GO_PACKAGE = GO_PATH / "src/github.com/hashicorp/memberlist"
GO_BUILD_S_MAX = 300
APT = "apt install golang-go golang-github-hashicorp-memberlist-dev"
PEERS = ("swimstream", "memberlist", "kinship")


@attrs.frozen(kw_only=True)
class Peer:
    """One implementation that can be started here."""

    name: str
    version: str
    command: tuple[str, ...]
    """Starts one node, with the arguments of `node.Arguments` appended."""


class PeerMissingError(Exception):
    """This implementation cannot be measured here; the text says what is missing."""


def find_peer(name: str, *, build_dir: Path) -> Peer:
    """Return the peer of that name, built if need be; raise `PeerMissingError`."""
    match name:
        case "swimstream":
            return _python_peer("swimstream")
        case "kinship":
            if importlib.util.find_spec("kinship") is None:
                raise PeerMissingError("kinship is missing: pip install '.[bench]'")
            return _python_peer("kinship")
        case "memberlist":
            return _memberlist(build_dir)
        case _:
            raise PeerMissingError(f"expected one of {', '.join(PEERS)}")


def _python_peer(name: str) -> Peer:
    return Peer(
        name=name,
        version=importlib.metadata.version(name),
        command=(sys.executable, "-m", f"chaos.peers.{name}_node"),
    )


def _memberlist(build_dir: Path) -> Peer:
    go = shutil.which("go")
    if go is None:
        raise PeerMissingError(f"Go is missing: {APT}")
    if not GO_PACKAGE.is_dir():
        raise PeerMissingError(f"{GO_PACKAGE} is missing: {APT}")
    binary = build_dir.absolute() / "memberlist-node"
    build_dir.mkdir(parents=True, exist_ok=True)
    # Debian's sources alone: no modules, so nothing is downloaded.
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOPATH": str(GO_PATH),
        "GOCACHE": str(build_dir.absolute() / "go-cache"),
    }
    try:
        subprocess.run(  # noqa: S603  # the compiler that was found above, on our own source
            [go, "build", "-o", str(binary), "main.go"],
            cwd=GO_SOURCE,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=GO_BUILD_S_MAX,
        )
    except subprocess.CalledProcessError as error:
        raise PeerMissingError(f"go build failed: {error.stderr.strip()[-500:]}") from None
    except subprocess.TimeoutExpired:
        raise PeerMissingError(f"go build took more than {GO_BUILD_S_MAX} s") from None
    return Peer(name="memberlist", version=_memberlist_version(), command=(str(binary),))


def _memberlist_version() -> str:
    """Return the version of Debian's package; `unknown` if dpkg does not know it."""
    dpkg = shutil.which("dpkg-query")
    if dpkg is None:
        return "unknown"
    asked = subprocess.run(  # noqa: S603  # a fixed question
        [dpkg, "--show", "--showformat=${Version}", "golang-github-hashicorp-memberlist-dev"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"
