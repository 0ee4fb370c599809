"""Third module: segmentation and velocity in, radial, circumferential and longitudinal curves out."""

import torch
from torch import Tensor, nn


class VelocityAssessment(nn.Module):
    """Cylindrical velocities about the ventricle's centroid, and their mean over the myocardium.

    Bulk motion (the mean in-plane velocity over the myocardium) is removed in the plane, not along the long axis.
    Differentiable in both inputs and free of parameters, so it serves as a loss, too.

    Source: module (c) of Xing et al., IEEE JBHI 2022, doi 10.1109/JBHI.2022.3158897, with StrainMap's definitions.
    """

    def cylindrical(self, myocardium: Tensor, velocity: Tensor) -> Tensor:
        """Turns velocities along the image's axes into radial, circumferential and longitudinal ones.

        Args:
            myocardium: [N, T, X, Y] float, probability or mask of the myocardium, 0 to 1; pixels are square.
            velocity: [N, 3, T, X, Y] float, cm/s along X, Y and towards the apex.

        Returns:
            [N, 3, T, X, Y] float, cm/s: radial (positive inward), circumferential (positive counter-clockwise seen
            from the apex, X to the right and Y down as displayed), longitudinal (positive from base to apex).
        """
        area = myocardium.sum((-2, -1), keepdim=True).clamp_min(1e-6)
        x = torch.arange(myocardium.shape[-2], device=velocity.device, dtype=velocity.dtype).unsqueeze(-1)
        y = torch.arange(myocardium.shape[-1], device=velocity.device, dtype=velocity.dtype).unsqueeze(0)
        dx = x - (myocardium * x).sum((-2, -1), keepdim=True) / area
        dy = y - (myocardium * y).sum((-2, -1), keepdim=True) / area
        # Clamped within the root, whose slope at zero is infinite: a fine-tuning goes through here, too.
        distance = torch.sqrt((dx * dx + dy * dy).clamp_min(1e-6))
        dx, dy = dx / distance, dy / distance
        vx = velocity[:, 0] - (myocardium * velocity[:, 0]).sum((-2, -1), keepdim=True) / area
        vy = velocity[:, 1] - (myocardium * velocity[:, 1]).sum((-2, -1), keepdim=True) / area
        # Seen from the apex X x Y points to the base, away from the viewer: Y is down, counter-clockwise is X to -Y.
        return torch.stack((-(vx * dx + vy * dy), vx * dy - vy * dx, velocity[:, 2]), dim=1)

    def forward(self, myocardium: Tensor, velocity: Tensor) -> Tensor:
        """Averages cylindrical velocities over the myocardium.

        Args:
            myocardium: [N, T, X, Y] float, probability or mask of the myocardium, 0 to 1; pixels are square.
            velocity: [N, 3, T, X, Y] float, cm/s along X, Y and towards the apex.

        Returns:
            [N, 3, T] float, cm/s: radial, circumferential, longitudinal; zero where a frame has no myocardium.
        """
        weighted = self.cylindrical(myocardium, velocity) * myocardium.unsqueeze(1)
        return weighted.sum((-2, -1)) / myocardium.sum((-2, -1)).clamp_min(1e-6).unsqueeze(1)

    def wall_motion(self, myocardium: Tensor, motion: Tensor) -> Tensor:
        """Averages motion in the plane over the myocardium, less its bulk.

        Args:
            myocardium: [N, T, X, Y] float, probability of the myocardium, 0 to 1; pixels are square.
            motion: [N, T, 2, X, Y] float, along X and Y, any unit.

        Returns:
            [N, T, 2] float, in the unit of ``motion``: radial (positive inward) and circumferential; towards zero
            where there is hardly any myocardium, so that nothing seen is no motion.
        """
        # Below, a probability is rounding, which engines do differently.
        wall = torch.where(myocardium > 1e-3, myocardium, torch.zeros_like(myocardium))
        flat = torch.cat((motion, torch.zeros_like(motion[:, :, :1])), dim=2).movedim(2, 1)
        area = wall.sum((-2, -1)).unsqueeze(-1)
        return self.forward(wall, flat)[:, :2].movedim(1, 2) * area / (area + 5)
