"""`python -m tools.pictures`: draw dashboards with what a Prometheus has now."""

import argparse
import asyncio
import sys
from collections import defaultdict
from pathlib import Path

from tools.pictures.drawing import View, draw, read


def main() -> int:
    """Draw what was asked for; 1 where something is wrong with a picture."""
    asked = _arguments()
    variables: defaultdict[str, list[str]] = defaultdict(list)
    for name, _, value in (one.partition("=") for one in asked.var):
        variables[name].append(value)
    view = View(
        since=asked.since,
        until=asked.until,
        variables=variables,
        scrape_interval=asked.scrape_interval,
        width=asked.width,
        theme=asked.theme,
    )
    dashboards = read(asked.dashboards)
    only = [one["uid"] for one in dashboards if any(word in one["uid"] for word in asked.only)]
    if asked.only and not only:
        sys.exit(f"no dashboard's uid has {' or '.join(asked.only)} in it")
    pictures = asyncio.run(draw(dashboards, asked.prometheus, asked.out, view, only=only))
    for picture in pictures:
        print(picture.path)
        for problem in picture.problems:
            print(f"  {problem}")
        for panel in picture.empty:
            print(f"  no data: {panel}")
    return int(any(picture.problems for picture in pictures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.pictures", description=__doc__)
    add = parser.add_argument
    add("--prometheus", required=True, metavar="URL", help="a Prometheus that has the metrics")
    add("--dashboards", type=Path, default=Path("grafana/dashboards"), help="a folder or a file")
    add("--out", type=Path, required=True, help="folder of the pictures")
    add("--only", action="append", default=[], metavar="UID", help="a part of the uid is enough")
    add("--from", dest="since", default="now-15m", help="begin, as Grafana writes it: now-15m")
    add("--to", dest="until", default="now", help="end")
    add("--var", action="append", default=[], metavar="NAME=VALUE", help="choose; may be repeated")
    add("--scrape-interval", default="15s", help="of the data source")
    add("--width", type=int, default=1600, help="in pixels")
    add("--theme", choices=("light", "dark"), default="light", help="Grafana's theme")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
