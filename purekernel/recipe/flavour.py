"""Whom an image is for, and by which conventions it is made."""

from __future__ import annotations

from enum import Enum

SCRIPTS = b"iso-build-files"


class Flavour(Enum):
    """Who an image is for."""

    DEV = "dev"
    PROD = "prod"
    DEBUG = "debug"


class Generation(Enum):
    """Which of the two generations of scripts made a bundle, told by their volume ids."""

    V2012 = "2012"
    V2013 = "2013"
