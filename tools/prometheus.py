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
    return folder


def _link(link: Path, program: Path) -> None:
    link.unlink(missing_ok=True)  # a link whose program has gone
    link.symlink_to(program)


if __name__ == "__main__":
    print(fetch())
