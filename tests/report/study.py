"""A ring that beats as a ventricle does, small and known, for tests of the report."""

import numpy as np

from scripts.assessment import Maps

SIZE = (56, 60)
SPACING = (1.5, 1.5, 20.0)
CENTRE = (28, 31)
#: Peak, cm/s, place and width in the cycle of the waves: systole, early and late diastole. Their areas cancel.
WAVES = ((3.0, 0.14, 0.085), (-4.5, 0.47, 0.045), (-1.5, 0.85, 0.035))


def beating_maps(slices: int = 3, frames: int = 24, ventricle: bool = True) -> Maps:
    """Radial motion as in WAVES, 1.5 times as fast along the axis, some turning; a right ventricle to the left."""
    times = np.arange(frames) / frames
    wave = sum(peak * np.exp(-0.5 * ((times - at) / width) ** 2) for peak, at, width in WAVES)
    moved_mm = np.cumsum(wave) * 10 / frames  # RR 1000 ms
    x, y = np.indices(SIZE).astype(float)
    dx, dy = (x - CENTRE[0]) * SPACING[0], (y - CENTRE[1]) * SPACING[1]
    distance = np.maximum(np.hypot(dx, dy), 1e-6)
    magnitude = np.full((frames, *SIZE, slices), 40, np.float32)
    labels = np.zeros(magnitude.shape, np.uint8)
    velocity = np.zeros((3, *magnitude.shape), np.float32)
    for z, scale in enumerate((1.0, 0.9, 0.75)[:slices]):
        for t, (v, moved) in enumerate(zip(wave, moved_mm, strict=True)):
            wall = distance < 29 * scale - 0.3 * moved
            pool = distance < 20 * scale - moved * scale
            labels[t, ..., z] = np.where(pool, 2, wall)
            image = np.where(pool, 220, np.where(wall, 90, 40))
            magnitude[t, ..., z] = np.where(~wall & (np.hypot(dx + 38 * scale, dy) < 15), 220, image)
            turn = (1 - z) * np.sin(2 * np.pi * times[t])
            velocity[0, t, ..., z] = (-v * dx + turn * dy) / distance
            velocity[1, t, ..., z] = (-v * dy - turn * dx) / distance
            velocity[2, t, ..., z] = 1.5 * v * (1 - 0.3 * z)
    if not ventricle:
        labels[:] = 0
    magnitude += np.random.default_rng(0).normal(0, 4, magnitude.shape).astype(np.float32)
    return Maps(
        name="ring",
        magnitude=magnitude,
        labels=labels,
        velocity=velocity,
        acquired=np.arange(frames) % 2 == 0,
        rr_ms=np.full(slices, 1000.0),
        spacing_mm=SPACING,
        affine=np.diag([-1.5, -1.5, -20.0, 1.0]),
        kind="synthesised",
        frame_duration_ms=np.full(slices, 1000.0 / frames),
    )
