"""What the development environment takes from Debian's and Ubuntu's packages."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.process import output, run

# Lists and archives of our own, so that no right on the system's is needed. The hooks that a
# system runs after an update belong to its own lists (and fail without root).
_APT_CONF = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State "{home}/state";
Dir::State::Lists "{home}/state/lists";
Dir::Cache "{home}/cache";
Dir::Cache::Archives "{home}/cache/archives";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
"""
# Where packages of another release than the system's own come from.
_SOURCES_CONF = """\
Dir::Etc::SourceList "{home}/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Status "{home}/status";
"""
_SOURCES = """\
deb [signed-by={keyring}] http://deb.debian.org/debian {release} main
deb [signed-by={keyring}] http://deb.debian.org/debian-security {release}-security main
"""
_KEYRING = Path("usr/share/keyrings/debian-archive-keyring.gpg")


def require(command: str, package: str) -> None:
    """Install the package that has the command, or stop with what a person has to do."""
    if shutil.which(command) is None:
        install(package, because=f"the command {command} is missing")


def install(package: str, because: str) -> None:
    """Install a package system-wide where we may, else stop with what a person has to do."""
    prefix = _administrator()
    if prefix is None or shutil.which("apt-get") is None:
        sys.exit(f"{because}: install it first (on Debian and Ubuntu: apt-get install {package})")
    print(f"{because}: installing Debian's package {package}", file=sys.stderr)
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    run(*apt, "update")
    output(*apt, "install", "--yes", "--no-install-recommends", package)


def unpack(
    packages: list[str], into: Path, *, libraries: bool = False, release: str | None = None
) -> None:
    """Download packages and unpack them into a folder, without installing them; needs no root.

    `libraries` are those that they need, all but the C library: the system's belongs to its loader.
    `release` is one of Debian's by its name, where it must not be the system's own.
    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing: put the programs of {' '.join(packages)} on the PATH")
    with tempfile.TemporaryDirectory(prefix="apt-") as name:
        home = Path(name)
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (home / folder).mkdir(parents=True)
        conf = home / "apt.conf"
        conf.write_text(_APT_CONF.format(home=home))
        if release is not None:
            _choose(release, home, conf)
        apt = ["apt-get", "-qq", "-c", str(conf)]
        run(*apt, "update")
        wanted = _with_libraries(packages, conf) if libraries else packages
        run(*apt, "download", *wanted, cwd=home)
        for archive in sorted(home.glob("*.deb")):
            run("dpkg-deb", "-x", str(archive), str(into))


def _choose(release: str, home: Path, conf: Path) -> None:
    """Have packages taken from a release of Debian's, also where the system is another."""
    keyring = "/" / _KEYRING
    if not keyring.exists():  # Ubuntu has it in a package
        unpack([_KEYRING.stem], home / "keyring")
        keyring = home / "keyring" / _KEYRING
    (home / "sources.list").write_text(_SOURCES.format(keyring=keyring, release=release))
    (home / "status").touch()  # what is installed here has other versions
    with conf.open("a") as file:
        file.write(_SOURCES_CONF.format(home=home))


def _with_libraries(packages: list[str], conf: Path) -> list[str]:
    """Return the packages, the libraries that they depend on, and what those depend on."""
    found: set[str] = set()
    new = set(packages)
    while new:
        found |= new
        said = output("apt-cache", "-c", str(conf), "--important", "depends", *sorted(new))
        new = set(re.findall(r"Depends: ((?:lib|zlib)\S+)", said)) - found - {"libc6"}
    return sorted(found)


def _administrator() -> list[str] | None:
    """Return what to put before a command to run it as root; None where we may not."""
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "-n"]
    allowed = shutil.which("sudo") and not subprocess.run([*sudo, "true"], check=False).returncode
    return sudo if allowed else None
