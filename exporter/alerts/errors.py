"""What can be wrong with what somebody asks of the alerts."""


class AlertError(Exception):
    """A threshold, a label or a URL that cannot be; the message says what would be right."""
