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
root=$(dirname "$(readlink -f "$0")")/../root
cd "$root{share}" && exec "$root/usr/bin/{program}" "$@"
"""


def fetch() -> Path:
    """Return the folder of the programs, filled."""
    folder = CACHE / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in PROGRAMS if not (folder / name).exists()]
    for name in missing:
        if found := shutil.which(name):
            _link(folder / name, Path(found))
    missing = [name for name in missing if not (folder / name).exists()]
    if missing:
        print(f"fetching {', '.join(missing)} (once)", file=sys.stderr)
        debian.unpack(sorted({PROGRAMS[name][1] for name in missing}), CACHE / "root")
    for name in missing:
        _link(folder / name, Path("../root", PROGRAMS[name][0]))
    if "alertmanager" in missing:
        _relocate(folder / "alertmanager")
    return folder


def _link(link: Path, program: Path) -> None:
    link.unlink(missing_ok=True)  # a link whose program has gone
    link.symlink_to(program)


def _relocate(link: Path) -> None:
    """Make Alertmanager run where it was unpacked: Debian's reads its templates from /usr/share.

    The path in it is replaced by one of the same length that is relative to a working directory.
    """
    program = link.resolve()
    moved = program.with_suffix(".moved")
    moved.write_bytes(program.read_bytes().replace(_SHARE, b"./" * (len(_SHARE) // 2)))
    moved.chmod(0o755)
    link.unlink()
    link.write_text(_STARTER.format(share=_SHARE.decode(), program=moved.name))
    link.chmod(0o755)


if __name__ == "__main__":
    print(fetch())
