"""What the heart and its surroundings look like: tissues, textures and their brightness, carried by the motion."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .draw import Dice
from .ventricle import State, Ventricle

MAP_MM = 2.0
"""Pixel size of the maps of surroundings and texture, mm."""

MAP_PIXELS = 192
"""Pixels along each side of these maps: they reach 190 mm from the image centre before they repeat the border."""

AT_ONCE = 9
"""Frames that ``film`` makes at once."""


@dataclass(frozen=True)
class Anatomy:
    """Tissues around and inside a batch of ventricles.

    All tensors are [B] unless said; the brightness of blood or of bright muscle is about 1.

    Attributes:
        blood: brightness of the LV pool; ``right_blood`` that of the RV.
        right_blood: see ``blood``.
        muscle: brightness of the myocardium.
        flow: [B, 2], size and phase (radians) of the pool's brightness change over the cycle.
        surroundings: [B, 1, M, M], brightness map of everything that is not heart.
        texture: [B, 2, D, M, M], brightness variation (mean zero) of muscle and blood over reference position.
        right: [B, 4], RV: angle from the LV's axis, distance, radius, all at end-diastole, and its systolic shrinkage.
        papillary: [B, P, 4], angle, share of the endocardial radius, size in mm, brightness as a share of muscle.
        trabeculae: roughness of the visible endocardium, mm.
        fat: [B, 3], pericardial fat: angle, thickness in mm, brightness.
        atrium: [B, 2], what is seen above the base: mean thickness of its wall, and how far it lies inside of where the
            ventricle's outline would be, mm; both largest beside the aorta. It fills while the ventricle empties.
        aorta: [B, 4], its root above the base: angle, share of the epicardial radius, radius in mm (below 1 there is
            none), brightness as a share of the pool's.
        blur: edge softness from partial volume, mm.
    """

    blood: Tensor
    right_blood: Tensor
    muscle: Tensor
    flow: Tensor
    surroundings: Tensor
    texture: Tensor
    right: Tensor
    papillary: Tensor
    trabeculae: Tensor
    fat: Tensor
    atrium: Tensor
    aorta: Tensor
    blur: Tensor


def smooth_noise(dice: Dice, channels: int, cell: int, size: int = MAP_PIXELS) -> Tensor:
    """Smooth random maps of unit spread.

    Args:
        dice: the source of random numbers; its batch is B.
        channels: C.
        cell: pixels between independent values.
        size: pixels along each side.

    Returns:
        [B, C, size, size] float.
    """
    coarse = dice.normal(channels, size // cell + 3, size // cell + 3)
    smooth = F.interpolate(coarse, size=(size + 2 * cell, size + 2 * cell), mode="bicubic", align_corners=False)
    return smooth[..., cell : cell + size, cell : cell + size] * 1.3


def draw_anatomy(dice: Dice, dark_blood: float = 0.25) -> Anatomy:
    """Draws the looks of a batch: bright-blood SSFP and gradient echo, or dark-blood spiral.

    Args:
        dice: the source of random numbers; its batch is B.
        dark_blood: share of dark-blood samples, 0 to 1.

    Returns:
        The anatomies.
    """
    dark = dice.chance(dark_blood)
    blood = torch.where(dark, dice.uniform(0.03, 0.3), dice.uniform(0.75, 1.15))
    muscle = torch.where(dark, dice.uniform(0.55, 1.0), dice.uniform(0.2, 0.6))
    # Surroundings: the strongest of several smooth random fields names the tissue.
    levels = torch.stack(
        (
            dice.uniform(0.01, 0.12),  # lung
            dice.uniform(0.01, 0.12),  # lung or air
            muscle * dice.uniform(0.7, 1.4),  # chest wall, spleen
            dice.uniform(0.15, 0.6),  # liver
            dice.uniform(0.6, 1.7),  # fat
            blood * dice.uniform(0.7, 1.1),  # vessels
        ),
        1,
    )
    cells = int(dice.uniform(9, 28)[0])
    share = torch.softmax(smooth_noise(dice, 6, cells) * 9, dim=1)
    surroundings = (share * levels[:, :, None, None]).sum(1, keepdim=True)
    surroundings = surroundings * (1 + 0.16 * smooth_noise(dice, 1, 5)).clamp_min(0.2)
    surroundings = _add_discs(dice, surroundings, blood, muscle)
    depth = torch.stack([smooth_noise(dice, 2, 4) * 0.6 + smooth_noise(dice, 2, 9) for _ in range(4)], dim=2)
    strength = torch.stack((dice.uniform(0.02, 0.16), dice.uniform(0.0, 0.1)), 1)
    angle = dice.uniform(-torch.pi, torch.pi)
    return Anatomy(
        blood=blood,
        right_blood=blood * dice.uniform(0.8, 1.15),
        muscle=muscle,
        flow=torch.stack((dice.uniform(0.0, 0.12), dice.uniform(-3.1, 3.1)), 1),
        surroundings=surroundings,
        texture=depth * strength[:, :, None, None, None],
        right=torch.stack((angle, dice.uniform(0.9, 1.25), dice.uniform(0.7, 1.15), dice.uniform(0.05, 0.3)), 1),
        papillary=torch.stack(
            (
                angle[:, None] + torch.tensor([1.9, -2.0, 3.0]) + 0.35 * dice.normal(3),
                dice.uniform(0.45, 0.85, 3),
                dice.uniform(0.0, 6.5, 3) * torch.tensor([1.0, 1.0, 0.6]),
                dice.uniform(0.8, 1.1, 3),
            ),
            2,
        ),
        trabeculae=dice.uniform(0.0, 1.3),
        fat=torch.stack((angle + dice.normal(), dice.uniform(-3.0, 6.0), dice.uniform(0.6, 1.6)), 1),
        atrium=torch.stack((dice.uniform(0.3, 4.5), dice.uniform(-2.0, 10.0)), 1),
        aorta=torch.stack(
            (
                angle + 0.6 * dice.normal(),
                dice.uniform(0.45, 1.0),
                dice.uniform(-6.0, 17.0),
                dice.uniform(0.8, 1.15),
            ),
            1,
        ),
        blur=dice.uniform(0.4, 1.6),
    )


def _add_discs(dice: Dice, surroundings: Tensor, blood: Tensor, muscle: Tensor) -> Tensor:
    """Puts up to two round vessels, bright with a ring, into the surroundings: not every disc is a ventricle."""
    axis = (torch.arange(MAP_PIXELS) - (MAP_PIXELS - 1) / 2) * MAP_MM
    for _ in range(2):
        angle, far = dice.uniform(-torch.pi, torch.pi), dice.uniform(60, 120)
        size = dice.uniform(-14, 15)
        x, y = far * torch.cos(angle), far * torch.sin(angle)
        distance = torch.sqrt(
            (axis[None, :, None] - x[:, None, None]) ** 2 + (axis[None, None] - y[:, None, None]) ** 2
        )
        inside = torch.sigmoid((size[:, None, None] - distance) / 0.8)[:, None]
        ring = torch.sigmoid((size[:, None, None] + 2.5 - distance) / 0.8)[:, None]
        surroundings = surroundings * (1 - ring) + muscle[:, None, None, None] * (ring - inside)
        surroundings = surroundings + blood[:, None, None, None] * inside
    return surroundings


def sample_map(maps: Tensor, x: Tensor, y: Tensor, pixel_mm: float = MAP_MM) -> Tensor:
    """Reads maps at positions.

    Args:
        maps: [B, C, H, W] float, centred on the image centre, H along X.
        x: [B, T, X, Y] float, mm from the image centre along X.
        y: the same along Y.
        pixel_mm: pixel size of the maps, mm.

    Returns:
        [B, C, T, X, Y] float.
    """
    b, t, h, w = x.shape
    half = torch.tensor([(maps.shape[-1] - 1) / 2, (maps.shape[-2] - 1) / 2]) * pixel_mm
    grid = torch.stack((y / half[0], x / half[1]), dim=-1).view(b, t * h, w, 2)
    return F.grid_sample(maps, grid, padding_mode="border", align_corners=True).view(b, maps.shape[1], t, h, w)


def render(anatomy: Anatomy, ventricle: Ventricle, state: State, time: Tensor) -> tuple[Tensor, Tensor]:
    """Paints the moving heart.

    Args:
        anatomy: the looks.
        ventricle: the shapes and motions.
        state: what the slice shows, from ``Ventricle.image``.
        time: [B, T] float, the same fractions of the cycle.

    Returns:
        Noise-free magnitude [B, T, X, Y] float, and labels [B, T, X, Y] uint8: 0 background, 1 myocardium, 2 pool
        (papillary muscles belong to the pool, as the field draws contours).
    """

    def b(x: Tensor) -> Tensor:
        return x.reshape(x.shape + (1,) * (4 - x.ndim))

    g, soft = ventricle.geometry, b(anatomy.blur) * 0.6
    cos, sin = torch.cos(state.angle), torch.sin(state.angle)
    systole = b(ventricle.motion.contraction.displacement(time))

    maps = torch.cat((anatomy.surroundings, anatomy.texture.flatten(1, 2)), dim=1)
    values = sample_map(maps, state.reference_x, state.reference_y)
    surroundings, texture = values[:, 0], values[:, 1:].unflatten(1, (2, -1))
    # The texture changes along the long axis, too: 9 mm from one of its layers to the next, there and back.
    layers = texture.shape[2]
    z = torch.remainder(state.reference_z / 9.0, float(layers))
    layer = torch.arange(layers).view(1, layers, 1, 1, 1)
    away = (z.unsqueeze(1) - layer).abs()
    texture = (texture * (1 - torch.minimum(away, layers - away)).clamp_min(0).unsqueeze(1)).sum(2)

    muscle = b(anatomy.muscle) * (1 + texture[:, 0])
    beat = 1 + b(anatomy.flow[:, 0]) * torch.cos(2 * torch.pi * b(time) + b(anatomy.flow[:, 1]))
    blood = (1 + texture[:, 1]) * beat

    # Right ventricle: a disc beside the left one, with a thin wall, squeezing towards its own centre.
    reach = b(g.outer[:, 0, 0])
    right_x = b(anatomy.right[:, 1]) * reach * b(torch.cos(anatomy.right[:, 0]))
    right_y = b(anatomy.right[:, 1]) * reach * b(torch.sin(anatomy.right[:, 0]))
    rx, ry = state.radius * cos - right_x, state.radius * sin - right_y
    inside = b(anatomy.right[:, 2]) * reach * (1 - b(anatomy.right[:, 3]) * systole) - torch.sqrt(rx * rx + ry * ry)
    tip = torch.sigmoid((state.reference_z - 0.1 * b(g.height)) / 4)
    image = surroundings
    rim = torch.sigmoid((inside + 3.0) / soft) * tip
    image = image + rim * (muscle - image)
    image = image + torch.sigmoid(inside / soft) * tip * (b(anatomy.right_blood) * blood - image)

    toward = cos * b(torch.cos(anatomy.fat[:, 0])) + sin * b(torch.sin(anatomy.fat[:, 0]))
    fat = torch.sigmoid((state.epicardium + b(anatomy.fat[:, 1]) * toward.clamp_min(0) * 2) / soft)
    image = image + fat * (inside < 0) * (b(anatomy.fat[:, 2]) - image) * (b(anatomy.fat[:, 1]) > 1)

    below_base = torch.sigmoid((b(g.height) - state.reference_z) / 1.2)
    # Above the base the wall gives way to the atrium, which is not round and fills by 6 mm while the ventricle empties.
    lopsided = 1 + 0.8 * torch.cos(state.angle - b(anatomy.aorta[:, 0]))
    outline = state.epicardium - (1 - below_base) * (b(anatomy.atrium[:, 1]) * lopsided - 6.0 * systole)
    epicardium = torch.sigmoid(outline / soft)
    image = image + epicardium * (muscle - image)
    pool = b(anatomy.blood) * blood
    rough = b(anatomy.trabeculae) * torch.sin(7 * state.angle + 3 * torch.cos(2 * state.angle) + state.reference_z / 5)
    cavity = below_base * torch.sigmoid((state.endocardium + rough) / soft)
    cavity = cavity + (1 - below_base) * torch.sigmoid((outline - b(anatomy.atrium[:, 0]) * lopsided) / soft)
    inner = b(g.inner[:, 0, 0])
    bundle = torch.zeros_like(cavity)
    for p in range(anatomy.papillary.shape[1]):
        angle, share, size, _ = anatomy.papillary[:, p].unbind(1)
        px, py = b(torch.cos(angle) * share) * inner, b(torch.sin(angle) * share) * inner
        distance = torch.sqrt((state.radius * cos - px) ** 2 + (state.radius * sin - py) ** 2)
        height = torch.sigmoid((0.75 * b(g.height) - state.reference_z) / 4)
        bundle = torch.maximum(bundle, torch.sigmoid((b(size) - distance) / 0.8) * height * (b(size) > 1.5))
    pool = pool + bundle * below_base * (b(anatomy.papillary[:, 0, 3]) * muscle - pool)
    image = image + cavity * epicardium * (pool - image)
    angle, share, size, bright = anatomy.aorta.unbind(1)
    ax, ay = b(share * torch.cos(angle)) * reach, b(share * torch.sin(angle)) * reach
    distance = torch.sqrt((state.radius * cos - ax) ** 2 + (state.radius * sin - ay) ** 2)
    root = (1 - below_base) * (b(size) > 1)
    image = image + root * torch.sigmoid((b(size) + 1.5 - distance) / soft) * (muscle - image)
    image = image + root * torch.sigmoid((b(size) - distance) / soft) * (b(bright * anatomy.blood) * blood - image)

    ventricular = (state.reference_z <= b(g.height)) & (state.reference_z >= -b(g.cap))
    labels = ((state.epicardium > 0) & ventricular).to(torch.uint8)
    labels += ((state.endocardium > 0) & ventricular & (state.reference_z > 0)).to(torch.uint8)
    return image.clamp_min(0), labels


def film(
    anatomy: Anatomy, ventricle: Ventricle, axes: tuple[Tensor, Tensor], time: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Images and paints a slice over time, a few frames at once: what they take fits the processor's cache.

    Args:
        anatomy: the looks.
        ventricle: the shapes and motions.
        axes: positions of pixels along X and Y, as ``Ventricle.image`` takes them.
        time: [B, T] float, fractions of the cycle.

    Returns:
        Noise-free magnitude [B, T, X, Y] float and labels [B, T, X, Y] uint8 as ``render`` paints them, and velocity
        [B, 3, T, X, Y] float, mm per cycle.
    """
    pictures, labels, velocities = [], [], []
    for some in time.split(AT_ONCE, dim=1):
        state = ventricle.image(*axes, some)
        picture, label = render(anatomy, ventricle, state, some)
        pictures.append(picture)
        labels.append(label)
        velocities.append(state.velocity)
    return torch.cat(pictures, 1), torch.cat(labels, 1), torch.cat(velocities, 2)
