"""Cine in, study out: reading and writing of NIfTI and DICOM."""

from .study import CineError, Study

__all__ = ["CineError", "Study"]
