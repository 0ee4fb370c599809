"""Training: data, losses, and the stages that MONAI's engines step."""

from . import beats, handlers, losses, mixture, simulated, sources, stages, sunnybrook, windows

__all__ = ["beats", "handlers", "losses", "mixture", "simulated", "sources", "stages", "sunnybrook", "windows"]
