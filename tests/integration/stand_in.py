"""A network whose outputs can be worked out by hand: it shows what the bundle around it does to them."""

import torch
from torch import Tensor, nn


class StandIn(nn.Module):
    """Has HDLNet's interface: linear blending, thresholds for labels, differences between pixels for velocities.

    Block 0 blends acquired frames linearly. Labels: blood pool above 60 % of the brightest pixel, myocardium above
    30 %. Velocity along X and Y: difference to the next pixel along that axis, in percent of the brightest; towards
    the apex: the magnitude in percent of the brightest.
    """

    upsampling_factor: int
    cyclic: int

    def __init__(self) -> None:
        super().__init__()
        self.upsampling_factor = 6
        self.cyclic = 1
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor) -> Tensor:
        following = image.roll(-1, 1) if self.cyclic == 1 else torch.cat((image[:, 1:], image[:, -1:]), dim=1)
        weights = torch.arange(self.upsampling_factor, device=image.device) / self.upsampling_factor
        blended = [torch.lerp(image, following, weights[i]) for i in range(self.upsampling_factor)]
        magnitude = torch.stack(blended, dim=2).flatten(1, 2)
        percent = 100 * magnitude / image.max()
        pool, wall = percent > 60, percent > 30
        blocks = [magnitude, ~wall, wall & ~pool, pool, percent.roll(-1, 2) - percent, percent.roll(-1, 3) - percent]
        blocks.extend([percent, torch.ones_like(percent)])
        return torch.cat([block.to(image.dtype) for block in blocks], dim=1)
