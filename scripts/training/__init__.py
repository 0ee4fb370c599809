"""Training: data, losses, and the stages that MONAI's engines step."""

from . import beats, handlers, losses, stages, windows

__all__ = ["beats", "handlers", "losses", "stages", "windows"]
