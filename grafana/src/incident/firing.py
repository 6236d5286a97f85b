"""Which alerts fire, of what was chosen."""


def firing(*matchers: str, when: str = "") -> str:
    """Give the alerts of what was chosen: its own, of what is before it, and those of everybody."""
    more = "".join(f", {matcher}" for matcher in matchers)
    return f"""\
(
  ALERTS{{alertstate="firing", target=~"$target|"{more}}}{when}
  or ALERTS{{alertstate="firing", server=~"$target", target!~"$target|"{more}}}{when}
)"""
