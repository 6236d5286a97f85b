"""`python -m grafana.src incident`: print a dashboard's template."""

import sys

from grafana.src import PAGES
from grafana.src.house import template

if __name__ == "__main__":
    sys.stdout.write(template(PAGES[sys.argv[1]]))
