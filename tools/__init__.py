"""Programs of the development environment; the Makefile calls them, `python -m tools.NAME`."""
