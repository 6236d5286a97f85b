"""See to it that the tests can make networks, as only root may: they need iproute2's command."""

import os

from tools import debian


def main() -> None:
    """Install the package where the command is missing and of use."""
    if os.geteuid() == 0:
        debian.require("ip", "iproute2")


if __name__ == "__main__":
    main()
