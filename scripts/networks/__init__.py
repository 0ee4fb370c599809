"""HDLNet and its three modules: temporal interpolation, phase synthesis, velocity assessment."""

from .hdlnet import BLOCKS, HDLNet
from .phase_synthesis import PhaseSynthesis
from .temporal_interpolation import TemporalInterpolation
from .velocity_assessment import VelocityAssessment

__all__ = ["BLOCKS", "HDLNet", "PhaseSynthesis", "TemporalInterpolation", "VelocityAssessment"]
