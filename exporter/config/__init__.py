"""The configuration file: its model, how it is read, and what is told about a bad one."""

from exporter.config.file import load_config, parse_config
from exporter.config.model import (
    ClientGroup,
    Config,
    Intervals,
    Match,
    Orphans,
    Probe,
    Statements,
    Target,
    Web,
)
from exporter.config.problems import ConfigError, Problem

__all__ = [
    "ClientGroup",
    "Config",
    "ConfigError",
    "Intervals",
    "Match",
    "Orphans",
    "Probe",
    "Problem",
    "Statements",
    "Target",
    "Web",
    "load_config",
    "parse_config",
]
