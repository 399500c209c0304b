"""Wrong implementations that must be caught, and right ones that must pass: the checker's own test.

A replacement sees the exercise's functions by their names, as a student's module does; during a check
these names are bound to recorders, so that what it hands to them is seen.
"""

from sandbox.network.catalogue.implementation import Implementation
from sandbox.network.catalogue.right import RIGHT
from sandbox.network.catalogue.wrong import WRONG

__all__ = ["RIGHT", "WRONG", "Implementation"]
