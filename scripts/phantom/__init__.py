"""A kinematic left ventricle with known motion, and the scanner that images it."""

from .cine import PhantomCine, image_cines
from .draw import Ranges

__all__ = ["PhantomCine", "Ranges", "image_cines"]
