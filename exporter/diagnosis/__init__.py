"""Pure functions on snapshots: no clock, no I/O, no configuration file."""
