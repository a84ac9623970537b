"""The version of the distribution."""

from importlib import metadata

try:
    VERSION = metadata.version("pliant")
except metadata.PackageNotFoundError:
    VERSION = "0.1.0+source"
