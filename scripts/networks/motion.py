"""Motion that is plain to see: between acquired frames, and the paths and velocities that join it over several."""

import torch
import torch.nn.functional as F
from torch import Tensor

PIXEL_CM = 0.15
"""In-plane pixel size that the network works at, cm."""

VIEW_CHANNELS = 54
"""Channels of ``gap_view``."""

STEPS = 5
"""Motions from frame to frame that ``spline_velocity`` joins, the third one over the gap."""


def warp(image: Tensor, displacement: Tensor) -> Tensor:
    """Samples an image at displaced positions, bilinearly; outside it the border's value is taken.

    Args:
        image: [B, C, X, Y] float.
        displacement: [B, 2, X, Y] float, in pixels along X and Y: result(p) = image(p + displacement(p)).

    Returns:
        [B, C, X, Y] float64 if the image is, else float32.
    """
    image = image if image.dtype == torch.float64 else image.float()
    displacement = displacement.to(image.dtype)
    height, width = image.shape[-2], image.shape[-1]
    # arange, not linspace: a linspace of a dynamic size does not survive the ONNX export.
    rows = torch.arange(height, device=image.device, dtype=image.dtype).unsqueeze(1)
    columns = torch.arange(width, device=image.device, dtype=image.dtype).unsqueeze(0)
    x = (rows + displacement[:, 0]) / (height - 1) * 2 - 1
    y = (columns + displacement[:, 1]) / (width - 1) * 2 - 1
    grid = torch.stack((y, x), dim=-1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


# ONNX Runtime pools and resizes no float64, so these three are written out.


def halve(x: Tensor) -> Tensor:
    """Means of 2 x 2 pixels: [B, C, X, Y] float64 to [B, C, X / 2, Y / 2]."""
    x = x[:, :, ::2] + x[:, :, 1::2]
    return (x[:, :, :, ::2] + x[:, :, :, 1::2]) / 4


def double(x: Tensor) -> Tensor:
    """Enlarges [B, C, X, Y] float64 to [B, C, 2 X, 2 Y], bilinearly."""
    x = F.pad(x, [1, 1, 1, 1], mode="replicate")
    x = torch.stack((x[:, :, :-2] + 3 * x[:, :, 1:-1], 3 * x[:, :, 1:-1] + x[:, :, 2:]), dim=3).flatten(2, 3)
    x = torch.stack((x[..., :-2] + 3 * x[..., 1:-1], 3 * x[..., 1:-1] + x[..., 2:]), dim=4).flatten(3, 4)
    return x / 16


def window_mean(x: Tensor, radius: int) -> Tensor:
    """Means over a window around each pixel; beyond the border its own value counts.

    Args:
        x: [B, C, X, Y] float64.
        radius: pixels to each side, so the window is 2 radius + 1 wide.

    Returns:
        Like ``x``.
    """
    x = F.pad(x, [radius, radius, radius, radius], mode="replicate")
    rows = x[:, :, 2 * radius :]
    for k in range(2 * radius):
        rows = rows + x[:, :, k : k - 2 * radius]
    total = rows[..., 2 * radius :]
    for k in range(2 * radius):
        total = total + rows[..., k : k - 2 * radius]
    return total / float((2 * radius + 1) ** 2)


def improve(motion: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Takes one step towards the motion that makes two pictures meet half-way.

    Least squares over a window of 7 x 7 pixels, then a mean over 5 x 5. Where a whole neighbourhood becomes brighter
    or darker (blood that flows in, tissue that moves through the slice), that is no motion in the plane: the mean
    difference over a window is taken off first.

    Args:
        motion: [B, 2, X, Y] float64, displacement from the first to the second picture so far, pixels.
        first: [B, 1, X, Y] float64.
        second: the same shape.

    Returns:
        Like ``motion``.
    """
    a, b = warp(first, -motion / 2), warp(second, motion / 2)
    mean = F.pad((a + b) / 2, [1, 1, 1, 1], mode="replicate")
    gx = (mean[:, :, 2:, 1:-1] - mean[:, :, :-2, 1:-1]) / 2
    gy = (mean[:, :, 1:-1, 2:] - mean[:, :, 1:-1, :-2]) / 2
    gt = b - a
    gt = gt - window_mean(gt, 3)
    products = torch.cat((gx * gx, gx * gy, gy * gy, gx * gt, gy * gt), dim=1)
    xx, xy, yy, xt, yt = window_mean(products, 3).split(1, dim=1)
    # Without gradient there is nothing to see: the ridge pulls the step to zero there.
    ridge = 5e-3 + 0.03 * (xx + yy)
    xx, yy = xx + ridge, yy + ridge
    step = torch.cat((xy * yt - yy * xt, xy * xt - xx * yt), dim=1) / (xx * yy - xy * xy)
    # Short steps: where there is only noise they would run away, and engines would run apart.
    return window_mean(motion + step.clamp(-0.32, 0.32), 2)


def image_motion(first: Tensor, second: Tensor) -> Tensor:
    """Estimates motion from brightness gradients, from coarse to fine pixels.

    A network that only sees two nearly equal pictures spends most of its training on learning to compare them; this
    compares them for it, and it learns where to trust which scale.

    Source: Lucas and Kanade, IJCAI 1981, "An iterative image registration technique"; over a pyramid, Bouguet 2000.

    Args:
        first: [B, 1, X, Y] float, X and Y divisible by 8.
        second: the same shape.

    Returns:
        [B, 6, X / 2, Y / 2] float64, pixels: displacement along X and Y from the first to the second picture, seen
        at the middle of the path, as known at pixels of 2, 4 and 8 times the size.
    """
    # Where there is only noise, each step magnifies the last one's rounding: in float32 engines would differ.
    pyramid = [torch.cat((first, second), dim=1).double()]
    for _ in range(3):
        pyramid.append(halve(pyramid[-1]))
    motion = torch.zeros_like(pyramid[3])
    for _ in range(2):
        motion = improve(motion, pyramid[3][:, :1], pyramid[3][:, 1:])
    coarse, motion = motion * 8, double(motion) * 2
    for _ in range(2):
        motion = improve(motion, pyramid[2][:, :1], pyramid[2][:, 1:])
    middle, motion = motion * 4, double(motion) * 2
    for _ in range(3):
        motion = improve(motion, pyramid[1][:, :1], pyramid[1][:, 1:])
    coarse = F.interpolate(coarse.float(), scale_factor=4.0, mode="bilinear", align_corners=False)
    middle = F.interpolate(middle.float(), scale_factor=2.0, mode="bilinear", align_corners=False)
    return torch.cat((motion * 2, middle.double(), coarse.double()), dim=1)


def motions_between(frames: Tensor) -> Tensor:
    """Estimates the motion from each frame to the next.

    Args:
        frames: [B, K, X, Y] float, X and Y divisible by 8.

    Returns:
        [B, K - 1, 6, X / 2, Y / 2] float64, as ``image_motion`` gives it.
    """
    # All pairs go as one batch.
    motion = image_motion(frames[:, :-1].flatten(0, 1).unsqueeze(1), frames[:, 1:].flatten(0, 1).unsqueeze(1))
    return motion.unflatten(0, (frames.shape[0], frames.shape[1] - 1))


def local_contrast(frames: Tensor) -> Tensor:
    """Divides pictures by how bright they are within about 30 mm, so that a dim heart looks like a bright one.

    Args:
        frames: [B, C, X, Y] float, normalised magnitude, X and Y divisible by 8.

    Returns:
        Like ``frames``; its root mean square over a neighbourhood is about 1, and less where there is only noise.
    """
    power = F.avg_pool2d(frames.square().mean(1, keepdim=True), 8)
    power = F.avg_pool2d(power, 5, 1, 2, count_include_pad=False)
    power = F.interpolate(power, scale_factor=8.0, mode="bilinear", align_corners=False)
    return frames / torch.sqrt(power + 0.01)


def gap_channels(keys: Tensor, motions: Tensor) -> Tensor:
    """Puts together what the trunks see of a gap: the frames, their differences and contrast, and their motion.

    Args:
        keys: [B, 4, X, Y] float, normalised magnitude: outer, first, second, outer frame. X, Y divisible by 16.
        motions: [B, 18, X / 2, Y / 2] float, pixels: before, in and after the gap, each as ``image_motion`` gives it.

    Returns:
        [B, 54, X / 2, Y / 2] like ``keys``: pixels of the frames, of their differences and of the local contrast of
        the inner two, and motion at all scales.
    """
    differences = (keys[:, 1:] - keys[:, :-1]) * 3
    pixels = torch.cat((keys, differences, local_contrast(keys[:, 1:3])), dim=1)
    return torch.cat((F.pixel_unshuffle(pixels, 2), motions.to(keys.dtype)), dim=1)


def gap_view(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Looks at a gap.

    Args:
        keys: [B, 4, X, Y] float, as in ``gap_channels``.

    Returns:
        What the trunks see, [B, 54, X / 2, Y / 2], and the finest motion alone, [B, 6, X / 2, Y / 2] float64, pixels:
        before, in and after the gap.
    """
    motions = motions_between(keys)
    return gap_channels(keys, motions.flatten(1, 2)), motions[:, :, :2].flatten(1, 2)


def outer_reach(frames: int) -> int:
    """How many frames the outer two of the four that the network sees lie beyond the gap.

    One or, in a cine of many frames, about a twelfth of the cycle, where motion stands out from noise.

    Args:
        frames: acquired frames T of the cycle.
    """
    return (frames + 9) // 12


def cubic_in_time(keys: Tensor, slopes: Tensor, tau: Tensor) -> Tensor:
    """Follows the brightness of each pixel along a cubic: the frame in the gap if nothing moves far.

    Args:
        keys: [B, 4, X, Y] float: outer, first, second, outer frame.
        slopes: [B, 2, X, Y] float, change of the first and of the second frame, a gap.
        tau: [B] float, time within the gap, 0 to 1.

    Returns:
        [B, 1, X, Y] float, in the scale of ``keys``; at 0 and 1 the frame itself.
    """
    t = tau.to(keys.dtype).unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)
    s = 1 - t
    ends = keys[:, 1:2] * (s * s * (1 + 2 * t)) + keys[:, 2:3] * (t * t * (1 + 2 * s))
    return ends + t * s * (s * slopes[:, :1] - t * slopes[:, 1:])


def path(motions: Tensor, tau: Tensor, gap: Tensor) -> Tensor:
    """Follows the tissue along the cubic that passes through where it is in all four frames.

    Args:
        motions: [B, 6, X, Y] float64, pixels of the full resolution on half of it, from ``gap_view``.
        tau: [B] float, time within the gap, 0 to 1.
        gap: [B] float, length of the gap as a fraction of the cycle; it tells how far away the outer frames are.

    Returns:
        [B, 4, X, Y] float32, pixels a gap, for the tissue that is at each place at time tau: displacement to the first
        frame divided by tau, and to the second one divided by 1 - tau.
    """
    t = tau.to(motions.dtype).unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)
    s = 1 - t
    # ``outer_reach`` for each item of the batch.
    r = torch.floor((torch.round(1 / gap.to(motions.dtype)) + 9) / 12)
    r = r.unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)
    before, middle, after = motions[:, :2], motions[:, 2:4], motions[:, 4:6]
    # Motion is known where the tissue is half-way; half-resolution pixels are two.
    middle = warp(middle, (0.5 - t) * middle / 2)
    before = warp(before, -(t * middle + before / 2) / 2)
    after = warp(after, (s * middle + after / 2) / 2)
    # Lagrange's polynomials at -r, 0, 1 and 1 + r, each divided by time.
    outer, inner, end = r * (r + 1) * (2 * r + 1), r * (r + 1), r + 1
    to_first = (
        middle * ((t + r) * (t - end) / inner - (t + r) * (t - 1) / outer)
        - before * ((t - 1) * (t - end) / outer)
        - after * ((t + r) * (t - 1) / outer)
    )
    to_second = (
        after * ((s - 1) * (s - end) / outer)
        - middle * ((s + r) * (s - end) / inner - (s + r) * (s - 1) / outer)
        + before * ((s + r) * (s - 1) / outer)
    )
    return torch.cat((to_first, to_second), dim=1).float()


def to_both_ends(motion: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """Turns a motion a gap into displacements from a time in the gap to the frames at its ends.

    Args:
        motion: [B, 4, X / 2, Y / 2] float32, pixels a gap, as ``path`` gives it.
        tau: [B] float, time within the gap, 0 to 1.

    Returns:
        Displacements to the first and to the second frame, [B, 2, X, Y] float32 each, pixels.
    """
    full = F.interpolate(motion, scale_factor=2.0, mode="bilinear", align_corners=False)
    time = tau.to(motion.dtype).unsqueeze(-1).unsqueeze(-1).unsqueeze(-1)
    return full[:, :2] * time, full[:, 2:] * (1 - time)


def spline_frames(frames: int) -> tuple[int, int]:
    """Which frames the spline around a gap passes through.

    Neighbours or, in a cine of more than 32 frames, every second one (third from 63 on), where motion stands out from
    noise.

    Args:
        frames: acquired frames T >= 3 of the cycle.

    Returns:
        How many frames lie from one to the next, and how many frames before the gap the third one does.
    """
    spacing = (frames + 27) // 30
    return spacing, (spacing - 1) // 2


def spline_starts(frames: int, device: torch.device, intervals: int = STEPS) -> Tensor:
    """Where the intervals around a gap begin that ``spline_velocity`` joins.

    Args:
        frames: acquired frames T >= 3 of the cycle.
        device: where the result is.
        intervals: how many, an odd number; the middle one holds the gap.

    Returns:
        [intervals] int64, frames after the first one of the gap, negative before it.
    """
    spacing, before = spline_frames(frames)
    return (torch.arange(intervals, device=device) - intervals // 2) * spacing - before


def spline_velocity(steps: Tensor, tau: Tensor, gap: Tensor) -> Tensor:
    """Velocity at each place, from the natural cubic spline through the sum of five motions.

    Args:
        steps: [B, 10, X, Y] float, pixels: motion along X and Y over five neighbouring intervals of frames, as
            ``spline_frames`` says; the third one holds the gap.
        tau: [B] float, time within the gap, 0 to 1.
        gap: [B] float, length of the gap as a fraction of the cycle; it tells how long the intervals are.

    Returns:
        [B, 2, X, Y] float32, pixels a gap.
    """
    # ``spline_frames`` for each item of the batch.
    spacing = torch.floor((torch.round(1 / gap) + 27) / 30)
    u = (tau + torch.floor((spacing - 1) / 2)) / spacing
    u, spacing = u.view(-1, 1, 1, 1), spacing.view(-1, 1, 1, 1)
    # Second derivatives at both ends of the third interval: rows of the inverse of the tridiagonal matrix (1, 4, 1).
    a, b, c, d = (steps[:, 2:] - steps[:, :-2]).split(2, dim=1)
    first = (-15 * a + 60 * b - 16 * c + 4 * d) * (6 / 209)
    second = (4 * a - 16 * b + 60 * c - 15 * d) * (6 / 209)
    velocity = steps[:, 4:6] + first * (u - 1 / 3 - u * u / 2) + second * (u * u / 2 - 1 / 6)
    return (velocity / spacing).float()
