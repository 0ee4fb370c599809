"""The moving left ventricle: a thick, incompressible wall that contracts, twists, shortens and travels.

A material point has reference coordinates at end-diastole (time 0): radius R, angle Theta about the long axis, and
height Z above the apex. Its position at time t is found in two volume-preserving steps:

1. z = Z - l(t) f(Theta) (a + (1 - a) Z / H): shortening, growing from apex to base, with the stretch
   lambda = dz/dZ; and r^2 = r_m^2 + (R^2 - R_m^2) / lambda, which conserves the wall's area times lambda.
2. theta = Theta + phi(r, z, t): twist.

Both have the Jacobian 1, so the wall is incompressible exactly, and both are inverted in closed form, so velocity is
exact at every pixel of a fixed slice. Lengths in mm, time in fractions of the cycle, so velocities come in mm a cycle,
which is mm/s at RR = 1000 ms.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .waves import Wave


@dataclass(frozen=True)
class Geometry:
    """Shape at end-diastole. All tensors [B] unless said; mm and radians.

    Attributes:
        centre: [B, 2], position of the long axis in the slice at time 0, mm from the image centre, along X and Y.
        inner: [B, K + 1, 2], Fourier coefficients (cosine, sine) of the endocardial radius over the angle.
        outer: [B, K + 1, 2], the same for the epicardium.
        height: length from the apex of the cavity to the base.
        cap: thickness of the wall at the apex; with ``tapered`` False the ventricle is a cylinder.
        tapered: [B] bool, whether radii shrink towards the apex.
        level: height of the imaged slice above the apex.
    """

    centre: Tensor
    inner: Tensor
    outer: Tensor
    height: Tensor
    cap: Tensor
    tapered: Tensor
    level: Tensor


@dataclass(frozen=True)
class Motion:
    """How the ventricle moves. All tensors [B] unless said.

    Attributes:
        contraction: wave of the mid-wall radius, and ``strain``, its fraction at end-systole.
        strain: fraction that the mid-wall radius shrinks by.
        shortening: wave of the base's descent.
        descent: mm that the base descends.
        apex_share: the apex's part of the base's descent, 0 to 1.
        torsion: wave of the twist; ``twist`` is [B, 2], its angle at apex and base at end-systole, radians,
            positive counter-clockwise seen from the apex.
        twist: see ``torsion``.
        swing: wave of the rotation common to all levels; ``swing_angle`` its size, radians.
        swing_angle: see ``swing``.
        shear: relative gain of twist a relative step towards the endocardium.
        scar: [B, 3], a sector that moves less: angle (radians), concentration, loss of motion 0 to 1.
        wall: [B, 2], cosine and sine part of the longitudinal motion's variation around the wall.
        delay: cycle fraction that the late sector lags; ``late`` is [B, 2], its angle and concentration.
        late: see ``delay``.
        travel: [B, 2, M, 2], Fourier coefficients of the rigid in-plane translation along X and Y, mm.
    """

    contraction: Wave
    strain: Tensor
    shortening: Wave
    descent: Tensor
    apex_share: Tensor
    torsion: Wave
    twist: Tensor
    swing: Wave
    swing_angle: Tensor
    shear: Tensor
    scar: Tensor
    wall: Tensor
    delay: Tensor
    late: Tensor
    travel: Tensor


@dataclass(frozen=True)
class State:
    """What a slice shows: every tensor [B, T, X, Y], mm, radians, mm a cycle.

    Attributes:
        reference_x: X of the material point at end-diastole, from the image centre.
        reference_y: the same along Y.
        reference_z: its height above the apex at end-diastole.
        angle: its angle about the long axis at end-diastole.
        radius: its reference radius.
        endocardium: signed distance inside the endocardium (positive in the cavity), now.
        epicardium: signed distance inside the epicardium, now.
        velocity: [B, 3, T, X, Y] along X, Y, and the long axis towards the apex.
    """

    reference_x: Tensor
    reference_y: Tensor
    reference_z: Tensor
    angle: Tensor
    radius: Tensor
    endocardium: Tensor
    epicardium: Tensor
    velocity: Tensor


def _b(x: Tensor) -> Tensor:
    """Views [B] or [B, T] for broadcasting against [B, T, X, Y]."""
    return x.reshape(x.shape + (1,) * (4 - x.ndim))


def fourier(coefficients: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Sums a Fourier series from the cosine and sine of the angle alone: multiples by the angle addition rule.

    Args:
        coefficients: [B, K + 1, 2] float, of the cosine and the sine of each multiple of the angle.
        cos: [B, T, X, Y] float, cosine of the angle.
        sin: [B, T, X, Y] float, its sine.

    Returns:
        [B, T, X, Y] float, in the unit of ``coefficients``.
    """
    total = _b(coefficients[:, 0, 0]) + _b(coefficients[:, 1, 0]) * cos + _b(coefficients[:, 1, 1]) * sin
    c, s = cos, sin
    for k in range(2, coefficients.shape[1]):
        c, s = c * cos - s * sin, s * cos + c * sin
        total = total + _b(coefficients[:, k, 0]) * c + _b(coefficients[:, k, 1]) * s
    return total


class Ventricle:
    """Evaluates positions and velocities of a batch of ventricles.

    Args:
        geometry: their shapes.
        motion: their motions.
    """

    EDGE_MM = 22.0
    """Distance over which the surroundings stop following the epicardium."""

    def __init__(self, geometry: Geometry, motion: Motion) -> None:
        self.geometry = geometry
        self.motion = motion

    def at(self, level: Tensor) -> "Ventricle":
        """The same ventricles cut elsewhere: level [B] float, mm above the apex."""
        return Ventricle(replace(self.geometry, level=level), self.motion)

    def translation(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Rigid translation and its velocity: [B, T] to two tensors [B, T, 2], mm and mm a cycle."""
        m = torch.arange(1, self.motion.travel.shape[2] + 1, device=time.device) * 2 * torch.pi
        phase = time[:, :, None, None] * m
        a, b = self.motion.travel[..., 0][:, None], self.motion.travel[..., 1][:, None]
        shift = (a * (torch.cos(phase) - 1) + b * torch.sin(phase)).sum(-1)
        speed = (m * (b * torch.cos(phase) - a * torch.sin(phase))).sum(-1)
        return shift, speed

    def _shares(self, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of the wall at an angle: share of contraction, share of shortening, part that is late."""
        m = self.motion
        near = torch.exp(_b(m.scar[:, 1]) * (cos * _b(m.scar[:, 0].cos()) + sin * _b(m.scar[:, 0].sin()) - 1))
        late = torch.exp(_b(m.late[:, 1]) * (cos * _b(m.late[:, 0].cos()) + sin * _b(m.late[:, 0].sin()) - 1))
        kept = 1 - _b(m.scar[:, 2]) * near
        return kept, kept * (1 + _b(m.wall[:, 0]) * cos + _b(m.wall[:, 1]) * sin), late

    def _radii(self, cos: Tensor, sin: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Endocardial and epicardial reference radius at an angle and reference height."""
        g = self.geometry
        up_inner = (1 - z / _b(g.height)).clamp(0, 1)
        up_outer = (1 - (z + _b(g.cap)) / _b(g.height + g.cap)).clamp(0, 1)
        taper = _b(g.tapered.float())
        inner = fourier(g.inner, cos, sin) * torch.sqrt((1 - taper * up_inner**2).clamp_min(1e-4))
        outer = fourier(g.outer, cos, sin) * torch.sqrt((1 - taper * up_outer**2).clamp_min(1e-4))
        return inner, torch.maximum(outer, inner + 0.5)

    def _contracted(self, inner: Tensor, outer: Tensor, kept: Tensor, stretch_most: Tensor) -> tuple[Tensor, Tensor]:
        """Squared reference mid-wall radius, and the fraction it shrinks by, limited so that the cavity stays open."""
        middle2 = (inner**2 + outer**2) / 2
        least = (middle2 - inner**2) / stretch_most + (0.3 * inner) ** 2
        most = (1 - torch.sqrt(least / middle2)).clamp_min(0)
        return middle2, torch.minimum(_b(self.motion.strain) * kept, most)

    def _twist(self, r: Tensor, z: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Twist angle at a position and time, and its derivatives by time, radius and height.

        Angles here run from +X to +Y, clockwise as seen from the apex, hence the minus signs.
        """
        m, g = self.motion, self.geometry
        middle = (g.inner[:, 0, 0] + g.outer[:, 0, 0]) / 2
        base, apex = m.twist[:, 1], m.twist[:, 0]
        share = _b(base) + _b(apex - base) * (1 - z / _b(g.height))
        slope_z = -_b((apex - base) / g.height)
        w, dw = _b(m.torsion.displacement(time)), _b(m.torsion.velocity(time))
        s = _b(m.swing.displacement(time) * m.swing_angle[:, None])
        ds = _b(m.swing.velocity(time) * m.swing_angle[:, None])
        reach = torch.sigmoid((_b(g.outer[:, 0, 0]) + 8 - r) / 4)
        depth = 1 - _b(m.shear / middle) * (r - _b(middle))
        factor = depth * reach
        factor_r = -_b(m.shear / middle) * reach - depth * reach * (1 - reach) / 4
        angle = share * w + s
        return -angle * factor, -(share * dw + ds) * factor, -angle * factor_r, -slope_z * w * factor

    def image(self, x: Tensor, y: Tensor, time: Tensor) -> State:
        """Finds which material a fixed slice shows, and how it moves.

        Args:
            x: [B or 1, 1, X, Y] float, mm from the image centre, along X.
            y: the same along Y.
            time: [B, T] float, fraction of the cycle.

        Returns:
            The state at each time and pixel.
        """
        g, m = self.geometry, self.motion
        shift, speed = self.translation(time)
        x0, y0 = x - _b(g.centre[:, 0]), y - _b(g.centre[:, 1])
        # The surroundings come along out to 55 mm, less from there, not at all beyond 95 mm.
        follow = ((95 - torch.sqrt(x0 * x0 + y0 * y0)) / 40).clamp(0, 1)
        follow = follow * follow * (3 - 2 * follow)
        dx, dy = x0 - _b(shift[..., 0]) * follow, y0 - _b(shift[..., 1]) * follow
        r = torch.sqrt(dx * dx + dy * dy).clamp_min(1e-3)
        ux, uy = dx / r, dy / r

        level = _b(g.level)
        phi, phi_t, phi_r, phi_z = self._twist(r, level, time)
        cos_phi, sin_phi = torch.cos(phi), torch.sin(phi)
        cos, sin = ux * cos_phi + uy * sin_phi, uy * cos_phi - ux * sin_phi

        kept, shortened, late = self._shares(cos, sin)
        late_delay = m.delay
        low, low_t = self._mix(m.shortening, m.descent, late_delay, late, time)
        low, low_t = low * shortened, low_t * shortened
        a, height = _b(m.apex_share), _b(g.height)
        stretch = 1 - low * (1 - a) / height
        reference_z = (level + low * a) / stretch
        share_z = a + (1 - a) * reference_z / height
        stretch_t = -low_t * (1 - a) / height
        v_long = low_t * share_z

        inner, outer = self._radii(cos, sin, reference_z)
        least_stretch = (1 - _b(m.descent) * shortened * (1 - a) / height).clamp_max(1.0)
        middle2, strain = self._contracted(inner, outer, kept, least_stretch)
        one = torch.ones_like(m.strain)
        e, e_t = self._mix(m.contraction, one, late_delay, late, time)
        shrink = 1 - strain * e
        r_m2 = middle2 * shrink**2
        r_m2_t = -2 * middle2 * shrink * strain * e_t
        gain = stretch_t / stretch**2

        half = (middle2 - inner**2) / stretch
        r_i = torch.sqrt((r_m2 - half).clamp_min(1e-4))
        r_o = torch.sqrt((r_m2 + half).clamp_min(1e-4))
        half_t = -(middle2 - inner**2) * gain
        r_i_t, r_o_t = (r_m2_t - half_t) / (2 * r_i), (r_m2_t + half_t) / (2 * r_o)

        reference2 = middle2 + (r * r - r_m2) * stretch
        v_wall = (r_m2_t - (reference2 - middle2) * gain) / (2 * r)
        decay = torch.exp(-(r - r_o).clamp_min(0) / self.EDGE_MM)
        spare = outer**2 - r_o**2
        outside2 = r * r + spare * decay
        v_outside = (2 * r_o - spare / self.EDGE_MM) * decay * r_o_t / (2 * r - spare * decay / self.EDGE_MM)
        in_cavity, outside = r < r_i, r > r_o
        radius2 = torch.where(in_cavity, r * r * (inner / r_i) ** 2, torch.where(outside, outside2, reference2))
        radius = torch.sqrt(radius2.clamp_min(1e-6))
        v_r = torch.where(in_cavity, r * r_i_t / r_i, torch.where(outside, v_outside, v_wall))

        v_theta = r * (phi_t + phi_r * v_r - phi_z * v_long)
        vx = v_r * ux - v_theta * uy + _b(speed[..., 0]) * follow
        vy = v_r * uy + v_theta * ux + _b(speed[..., 1]) * follow
        fade = torch.where(outside, decay, torch.ones_like(decay))
        return State(
            reference_x=radius * cos + _b(g.centre[:, 0]),
            reference_y=radius * sin + _b(g.centre[:, 1]),
            reference_z=reference_z,
            angle=torch.atan2(sin, cos),
            radius=radius,
            endocardium=r_i - r,
            epicardium=r_o - r,
            velocity=torch.stack((vx, vy, v_long * fade), dim=1),
        )

    def _mix(self, wave: Wave, size: Tensor, delay: Tensor, late: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Displacement and velocity of a wall that is prompt in one part and late in another."""
        behind = wave.delayed(delay)
        start = behind.displacement(time * 0)[:, :1]
        prompt, prompt_t = wave.displacement(time) * size[:, None], wave.velocity(time) * size[:, None]
        after, after_t = (behind.displacement(time) - start) * size[:, None], behind.velocity(time) * size[:, None]
        return _b(prompt) + late * _b(after - prompt), _b(prompt_t) + late * _b(after_t - prompt_t)

    def position(self, radius: Tensor, angle: Tensor, z: Tensor, time: Tensor) -> Tensor:
        """Follows material points of the wall: the forward map that ``image`` inverts.

        Args:
            radius: [B, T, X, Y] float, reference radius in the wall, mm.
            angle: the same shape, reference angle, radians.
            z: the same shape, reference height above the apex, mm.
            time: [B, T] float, fraction of the cycle.

        Returns:
            [B, 3, T, X, Y] float: X and Y from the image centre, and height above the apex, mm.
        """
        g, m = self.geometry, self.motion
        cos, sin = torch.cos(angle), torch.sin(angle)
        kept, shortened, late = self._shares(cos, sin)
        a, height = _b(m.apex_share), _b(g.height)
        low = self._mix(m.shortening, m.descent, m.delay, late, time)[0] * shortened
        stretch = 1 - low * (1 - a) / height
        now_z = z - low * (a + (1 - a) * z / height)
        inner, outer = self._radii(cos, sin, z)
        least_stretch = (1 - _b(m.descent) * shortened * (1 - a) / height).clamp_max(1.0)
        middle2, strain = self._contracted(inner, outer, kept, least_stretch)
        e = self._mix(m.contraction, torch.ones_like(m.strain), m.delay, late, time)[0]
        r = torch.sqrt((middle2 * (1 - strain * e) ** 2 + (radius**2 - middle2) / stretch).clamp_min(1e-6))
        phi = self._twist(r, now_z, time)[0]
        shift = self.translation(time)[0]
        x = r * torch.cos(angle + phi) + _b(g.centre[:, 0]) + _b(shift[..., 0])
        y = r * torch.sin(angle + phi) + _b(g.centre[:, 1]) + _b(shift[..., 1])
        return torch.stack((x, y, now_z), dim=1)
