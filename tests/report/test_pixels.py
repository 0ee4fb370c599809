"""What the page plays is what was there, to a step of its coding."""

import base64
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from scripts.report.pixels import NO_WALL, PARTS, STEPS, columns, encode_slice, velocity_limits

FRAMES, WIDTH, HEIGHT = 5, 20, 12
LIMITS = np.array([8.0, 4.0, 2.0])


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros((FRAMES, WIDTH, HEIGHT), np.uint8)
    labels[:, 3:15, 2:10] = 1
    labels[:, 6:12, 4:8] = 2
    return labels


def encode(
    labels: np.ndarray, magnitude: np.ndarray | None = None, scale: float = 1.0
) -> tuple[np.ndarray, dict[str, str]]:
    velocity = np.random.default_rng(0).uniform(-1, 1, (3, *labels.shape)) * LIMITS[:, None, None, None] * scale
    velocity[:, labels != 1] = np.nan
    magnitude = np.ones(labels.shape) if magnitude is None else magnitude
    return velocity, encode_slice(magnitude, labels, velocity, 100.0, LIMITS)


def stored(parts: dict[str, str]) -> np.ndarray:
    content = zlib.decompress(base64.b64decode(parts["velocity"]))
    return np.frombuffer(content, np.int8).reshape(3, FRAMES, HEIGHT, WIDTH).swapaxes(2, 3)


def test_velocities_come_back_to_half_a_step(labels: np.ndarray) -> None:
    velocity, parts = encode(labels)
    found = stored(parts) * LIMITS[:, None, None, None] / STEPS
    wall = labels == 1
    assert (stored(parts)[:, ~wall] == NO_WALL).all()
    assert (np.abs(found - velocity)[:, wall].max(1) <= LIMITS / STEPS / 2 + 1e-9).all()


def test_what_is_faster_than_the_scale_takes_its_last_step(labels: np.ndarray) -> None:
    velocity, parts = encode(labels, scale=3.0)
    wall = labels == 1
    fast = np.abs(velocity[0][wall]) > LIMITS[0]
    np.testing.assert_array_equal(stored(parts)[0][wall][fast], np.sign(velocity[0][wall][fast]) * STEPS)


def test_frames_lie_row_by_row_with_x_to_the_right_and_y_down(labels: np.ndarray) -> None:
    magnitude = np.zeros(labels.shape)
    for t in range(FRAMES):
        magnitude[t, 2 * t : 2 * t + 4, 2 : 6 + t] = 100
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(encode(labels, magnitude)[1]["cine"]))).convert("L"))
    across = columns(FRAMES)
    assert sheet.shape == (-(-FRAMES // across) * HEIGHT, across * WIDTH)
    for t in range(FRAMES):
        row, column = divmod(t, across)
        frame = sheet[row * HEIGHT : (row + 1) * HEIGHT, column * WIDTH : (column + 1) * WIDTH]
        assert np.abs(frame.T / 255 * 100 - magnitude[t]).mean() < 4


def area(line: list[int]) -> float:
    x, y = np.array(line).reshape(-1, 2).T / PARTS
    return 0.5 * abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1)))


def test_outlines_enclose_the_labels() -> None:
    x, y = np.indices((64, 60))
    distance = np.hypot(x - 30, y - 27)
    labels = np.where(distance < 12, 2, np.where(distance < 20, 1, 0)).astype(np.uint8)[None]
    parts = encode_slice(np.ones(labels.shape), labels, np.ones((3, *labels.shape)), 1.0, LIMITS)
    ((outer, pool),) = json.loads(zlib.decompress(base64.b64decode(parts["outlines"])))
    for (line,), pixels in ((outer, (labels > 0).sum()), (pool, (labels == 2).sum())):
        assert area(line) == pytest.approx(pixels, rel=0.025)
        assert np.array(line).reshape(-1, 2).mean(0) / PARTS == pytest.approx([30, 27], abs=0.5)


def test_outlines_close_at_the_border_and_are_absent_without_labels() -> None:
    labels = np.zeros((2, 16, 16), np.uint8)
    labels[0, :12, :12] = 1
    parts = encode_slice(np.ones(labels.shape), labels, np.ones((3, *labels.shape)), 1.0, LIMITS)
    (outer, pool), nothing = json.loads(zlib.decompress(base64.b64decode(parts["outlines"])))
    assert area(outer[0]) == pytest.approx(144, rel=0.04)  # corners are rounded
    assert pool == []
    assert nothing == [[], []]


def test_limits_leave_out_the_fastest_few_and_everything_outside_the_wall() -> None:
    values = np.full((3, 1, 100, 100), np.nan)
    values[:, 0, :50] = np.array([3.2, 0.1, 7.0])[:, None, None]
    values[0, 0, 0, 0] = 1000
    np.testing.assert_array_equal(velocity_limits([values]), [4, 1, 7])
    np.testing.assert_array_equal(velocity_limits([np.full((3, 1, 4, 4), np.nan)]), [1, 1, 1])
