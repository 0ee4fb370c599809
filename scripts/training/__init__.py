"""Training: data, losses, and the two stages that MONAI's engines step."""

from . import handlers, losses, stages, windows

__all__ = ["handlers", "losses", "stages", "windows"]
