"""From velocity maps to what a cardiologist reads: curves, peaks, strain, twist, volumes, and what to doubt."""

from .assess import assess_maps
from .maps import Maps, load_maps
from .result import SCHEMA, Assessment
from .wall import cylindrical

__all__ = ["SCHEMA", "Assessment", "Maps", "assess_maps", "cylindrical", "load_maps"]
