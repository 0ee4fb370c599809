"""Velocity encoding: how fast, and along which direction, as each vendor states it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

#: Tags that `ge_magnitude` reads, private creators among them: without these pydicom does not know the VR.
GE_TAGS = [
    *("Manufacturer", "PixelRepresentation", "SmallestImagePixelValue"),
    *("00190010", "001910CC", "00430010", "0043102F", "00431030"),
]
#: Directions of GE's phase images, in the order of their codes in (0043,1030).
GE_DIRECTIONS = ("R/L", "A/P", "S/I")
#: GE's (0043,1030) of images with phase contrast, in straight and in oblique planes.
_GE_MAGNITUDE = (2, 8)
_GE_PHASE = dict(zip((3, 4, 5, 9, 10, 11), 2 * GE_DIRECTIONS, strict=True))
#: GE's (0043,102F) of phase, real and imaginary images; 0 is magnitude.
_GE_NOT_MAGNITUDE = (1, 2, 3)

_FLOW = re.compile(rb"sAngio\.sFlowArray\.asElm\[\d+\]\.nVelocity\s*=\s*([\d.]+)")
_TEXT = re.compile(r"v(\d+(?:\.\d+)?)([_a-z]*)", re.IGNORECASE)
_ASCCONV = ((0x0029, 0x1020), (0x0029, 0x1120), (0x0021, 0x1019))
_SIEMENS_TEXT = ((0x0051, 0x1014), (0x0021, 0x1129))
#: Siemens' words for directions: through the plane, or the body axis that is closest.
_THROUGH = ("in", "out", "through")
_WORDS = (*_THROUGH, "rl", "lr", "ap", "pa", "fh", "hf")


@dataclass(frozen=True, eq=False)
class Encoding:
    """What a header says of velocity.

    Attributes:
        venc: Velocity that turns the phase by pi, cm/s; None if no tag states it.
        source: Tag that stated it.
        direction: Unit vector of positive velocity, shape (3,), LPS; None if no tag states it.
        word: Vendor's word for the direction, such as "rl" or "R/L"; empty if there is none.
    """

    venc: float | None
    source: str
    direction: NDArray[np.float64] | None
    word: str

    @property
    def vector(self) -> tuple[float, ...]:
        """Direction as numbers that compare; empty if there is none."""
        return () if self.direction is None else tuple(self.direction.round(2).tolist())

    @property
    def through_plane(self) -> bool:
        """Whether the word says that this is the component through the plane."""
        return self.word in _THROUGH


def encoding(header: Dataset, index: int | None = None) -> Encoding:
    """Read the velocity encoding of a phase image.

    Sources, in this order: MRVelocityEncodingSequence (PS3.3 C.8.13.5.7), Siemens' protocol text (ASCCONV), the private
    text or number of Siemens, GE and Philips, and SequenceName.

    Args:
        header: The file's data set.
        index: Frame in an enhanced file; None in a classic one.
    """
    direction, word = None, _word(header)
    for name, value, vector in _candidates(header, index):
        direction = direction if vector is None else vector
        if value is not None and value > 0:
            return Encoding(value, name, direction, word)
    return Encoding(None, "", direction, word)


def odd_one_out(speeds: list[float | None]) -> str:
    """A note if two of three vencs (x, y, z; cm/s) are equal and the odd one is not through the plane; else empty."""
    x, y, z = speeds
    if None in speeds or x == y or z not in (x, y):
        return ""
    odd = "y" if z == x else "x"
    return (
        f"velocity encoding {x:g}, {y:g}, {z:g} cm/s (x, y, z): the odd one of three is usually through the plane, "
        f"here it is {odd}; check the directions, and give order if they are wrong"
    )


def is_ge(vendor: str) -> bool:
    """Whether a Manufacturer is GE."""
    return vendor.upper().startswith("GE")


def ge_magnitude(header: Dataset) -> bool:
    """False if GE's private tags call an image phase, real or imaginary: ImageType often does not.

    (0043,1030) has a code for each direction of phase contrast, and (0043,102F) one for phase as such. Where both are
    lost, signed pixels and a velocity encoding make a phase image.
    """
    if not is_ge(str(header.get("Manufacturer") or "")):
        return True
    flow, venc = _number(header, 0x0043, 0x1030), _number(header, 0x0019, 0x10CC)
    if flow in _GE_MAGNITUDE:
        return True
    if flow in _GE_PHASE and venc != 0:  # diffusion has the same codes, and no velocity encoding
        return False
    kind, smallest = _number(header, 0x0043, 0x102F), _number(header, 0x0028, 0x0106)
    signed = header.get("PixelRepresentation") == 1 and (smallest is None or smallest < 0)
    return kind not in _GE_NOT_MAGNITUDE and not (flow is None and signed and venc is not None and venc > 0)


def in_cm_s(header: Dataset, index: int | None = None) -> bool:
    """Whether rescaled pixels are velocities in cm/s: RescaleType says so (Philips).

    Args:
        header: The file's data set.
        index: Frame in an enhanced file; None in a classic one.
    """
    items = [item for group in _groups(header, index) for item in group.get("PixelValueTransformationSequence") or []]
    return any(str(item.get("RescaleType") or "").strip().lower() == "cm/s" for item in (header, *items))


def _groups(header: Dataset, index: int | None) -> list[Dataset]:
    """Functional groups of one frame of an enhanced file, its own before the shared ones."""
    if index is None:
        return []
    return [header.PerFrameFunctionalGroupsSequence[index], *header.get("SharedFunctionalGroupsSequence", [])]


def _candidates(header: Dataset, index: int | None) -> Iterator[tuple[str, float | None, NDArray[np.float64] | None]]:
    """Name, venc in cm/s and direction of each place that may state them."""
    for group in _groups(header, index):
        for item in group.get("MRVelocityEncodingSequence") or []:
            vector = np.asarray(item.get("VelocityEncodingDirection") or [], float)
            size = np.linalg.norm(vector) if vector.shape == (3,) else 0.0
            top = item.get("VelocityEncodingMaximumValue")
            yield (
                "(0018,9197) MRVelocityEncodingSequence",
                None if top is None else float(top),
                vector / size if size > 0 else None,
            )
    found = {float(v) for tag in _ASCCONV if tag in header for v in _FLOW.findall(_bytes(header[tag].value))}
    if len(found) == 1:  # several speeds in one protocol do not say which one this image has
        yield "ASCCONV sAngio.sFlowArray.asElm[].nVelocity", found.pop(), None
    match = _TEXT.search(_siemens_text(header))
    if match:
        yield "(0051,1014) or (0021,1129), Siemens", float(match[1]), None
    speed = _number(header, 0x0019, 0x10CC)
    if speed is not None and is_ge(str(header.get("Manufacturer") or "")):
        yield "(0019,10CC), GE, mm/s", speed / 10, None
    if (0x2001, 0x101A) in header:
        speeds = np.abs(np.atleast_1d(np.asarray(header[0x2001, 0x101A].value, float)))
        yield "(2001,101A), Philips", float(speeds.max(initial=0)), None
    match = _TEXT.search(str(header.get("SequenceName") or ""))
    if match:
        yield "(0018,0024) SequenceName", float(match[1]), None


def _word(header: Dataset) -> str:
    """Vendor's word for the direction; empty if there is none."""
    other = ""
    for text in (_siemens_text(header), str(header.get("SequenceName") or "")):
        match = _TEXT.search(text)
        words = match[2].lower().split("_") if match else [""]
        known = [word for word in words if word in _WORDS]
        if known:
            return known[-1]
        other = other or words[-1]
    code = _number(header, 0x0043, 0x1030) if is_ge(str(header.get("Manufacturer") or "")) else None
    return other if code is None else _GE_PHASE.get(int(code), other)


def _siemens_text(header: Dataset) -> str:
    for tag in _SIEMENS_TEXT:
        if tag in header:
            return _bytes(header[tag].value).decode("latin-1").strip()
    return ""


def _number(header: Dataset, group: int, element: int) -> float | None:
    """Whole number of an element, also where its VR (SS) is lost with the private creator; None if it is absent."""
    value = header[group, element].value if (group, element) in header else None
    if isinstance(value, bytes) and value:
        return float(int.from_bytes(value[:2], "little", signed=True))
    return float(value) if isinstance(value, int | float) else None


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")
