"""What the command line can do besides running the daemon."""
