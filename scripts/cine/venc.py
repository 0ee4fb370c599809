"""Velocity encoding: how fast, and along which direction, as each vendor states it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

_FLOW = re.compile(rb"sAngio\.sFlowArray\.asElm\[\d+\]\.nVelocity\s*=\s*([\d.]+)")
_TEXT = re.compile(r"v(\d+(?:\.\d+)?)_?([a-z]*)", re.IGNORECASE)
_ASCCONV = ((0x0029, 0x1020), (0x0029, 0x1120), (0x0021, 0x1019))
_SIEMENS_TEXT = ((0x0051, 0x1014), (0x0021, 0x1129))


@dataclass(frozen=True, eq=False)
class Encoding:
    """What a header says of velocity.

    Attributes:
        venc: Velocity that turns the phase by pi, cm/s; None if no tag states it.
        source: Tag that stated it.
        direction: Unit vector of positive velocity, shape (3,), LPS; None if no tag states it.
        words: Text that tells this direction from the others, such as "v20_rl"; empty if there is none.
    """

    venc: float | None
    source: str
    direction: NDArray[np.float64] | None
    words: str

    @property
    def through_plane(self) -> bool:
        """Whether the words say that this is the component through the plane."""
        return "through" in self.words.lower()


def encoding(header: Dataset, index: int | None = None) -> Encoding:
    """Read the velocity encoding of a phase image.

    Sources, in this order: MRVelocityEncodingSequence (PS3.3 C.8.13.5.7), Siemens' protocol text (ASCCONV), the private
    text or number of Siemens, GE and Philips, and SequenceName.

    Args:
        header: The file's data set.
        index: Frame in an enhanced file; None in a classic one.
    """
    words = _siemens_text(header)
    direction = None
    for name, value, vector in _candidates(header, index, words):
        direction = direction if vector is None else vector
        if value is not None and value > 0:
            return Encoding(value, name, direction, words)
    return Encoding(None, "", direction, words)


def _candidates(
    header: Dataset, index: int | None, words: str
) -> Iterator[tuple[str, float | None, NDArray[np.float64] | None]]:
    """Name, venc in cm/s and direction of each place that may state them."""
    if index is not None:
        groups = [header.PerFrameFunctionalGroupsSequence[index], *header.get("SharedFunctionalGroupsSequence", [])]
        for group in groups:
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
    match = _TEXT.search(words)
    if match:
        yield "(0051,1014) or (0021,1129), Siemens", float(match[1]), None
    if (0x0019, 0x10CC) in header and "GE" in str(header.get("Manufacturer", "")).upper():
        yield "(0019,10CC), GE, mm/s", float(header[0x0019, 0x10CC].value) / 10, None
    if (0x2001, 0x101A) in header:
        speeds = np.abs(np.atleast_1d(np.asarray(header[0x2001, 0x101A].value, float)))
        yield "(2001,101A), Philips", float(speeds.max(initial=0)), None
    match = _TEXT.search(str(header.get("SequenceName") or ""))
    if match:
        yield "(0018,0024) SequenceName", float(match[1]), None


def _siemens_text(header: Dataset) -> str:
    for tag in _SIEMENS_TEXT:
        if tag in header:
            return _bytes(header[tag].value).decode("latin-1").strip()
    return ""


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")
