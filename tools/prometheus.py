"""Put Prometheus' programs into .cache/prometheus/bin: a check of what we serve by its reader.

They come from the system where it has them, else out of Debian's packages without installing
those: no root, and no service that starts by itself.
"""

import shutil
import sys
from pathlib import Path

from tools import debian

CACHE = Path(__file__).parents[1] / ".cache" / "prometheus"
# What we call it, where Debian's package has it, and in which package.
PROGRAMS = {
    "prometheus": ("usr/bin/prometheus", "prometheus"),
    "promtool": ("usr/bin/promtool", "prometheus"),
    "alertmanager": ("usr/bin/prometheus-alertmanager", "prometheus-alertmanager"),
    "amtool": ("usr/bin/amtool", "prometheus-alertmanager"),
}

_SHARE = b"/usr/share/prometheus/"
_STARTER = """\
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/../..
cd "$root{share}" && exec "$root/usr/bin/{program}" "$@"
"""


def fetch(cache: Path = CACHE) -> Path:
    """Return the folder of the programs, filled."""
    folder = cache / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in PROGRAMS if not _is_there(folder / name)]
    for name in missing:
        (folder / name).unlink(missing_ok=True)  # a link whose program has gone
        if found := shutil.which(name) or shutil.which(Path(PROGRAMS[name][0]).name):
            (folder / name).symlink_to(Path(found).absolute())
    missing = [name for name in missing if not _is_there(folder / name)]
    if missing:
        print(f"fetching {', '.join(missing)} (once)", file=sys.stderr)
        debian.unpack(sorted({PROGRAMS[name][1] for name in missing}), cache / "root")
    for name in missing:
        (folder / name).symlink_to(Path("../root", PROGRAMS[name][0]))
    unpacked = cache / "root" / PROGRAMS["alertmanager"][0]
    if (folder / "alertmanager").resolve() == unpacked.resolve():
        _relocate(folder / "alertmanager", unpacked)
    return folder


def _is_there(link: Path) -> bool:
    return link.is_symlink() and link.exists()


def _relocate(link: Path, program: Path) -> None:
    """Make Alertmanager run where it was unpacked: Debian's reads its templates from /usr/share.

    The path in it is replaced by one of the same length that is relative to a working directory:
    so its own flags have to name absolute paths.
    """
    moved, starter = program.with_suffix(".moved"), program.with_suffix(".starter")
    binary = program.read_bytes()
    if _SHARE not in binary:
        sys.exit(f"{program} has no templates in {_SHARE.decode()}: put one on the PATH that runs")
    for file, content in (
        (moved, binary.replace(_SHARE, b"./" * (len(_SHARE) // 2))),
        (starter, _STARTER.format(share=_SHARE.decode(), program=moved.name).encode()),
    ):
        file.unlink(missing_ok=True)  # it may run
        file.write_bytes(content)
        file.chmod(0o755)
    link.unlink()
    link.symlink_to(Path("../root", PROGRAMS["alertmanager"][0]).with_name(starter.name))


if __name__ == "__main__":
    print(fetch())
