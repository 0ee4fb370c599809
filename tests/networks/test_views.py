"""Views of a picture, joined."""

import pytest
import torch

from scripts.networks.views import mean, together


def test_views_are_joined_by_their_weights_and_by_probability():
    one, other = torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.0, 0.5, 0.5])
    seen = torch.stack((one, other)).view(2, 1, 1, 3, 1, 1).expand(-1, 1, 2, -1, 4, 5)
    weight = torch.tensor([[0.25, 1.0], [0.75, 0.0]]).view(2, 1, 2)
    joined = together(seen, weight)
    assert joined.shape == (1, 2, 3, 4, 5)
    assert joined[0, 0, :, 2, 3].exp().tolist() == pytest.approx([0.2, 0.4, 0.4])
    # What no view shows is unlikely, not impossible: a logarithm of nothing would stay nothing whatever is added.
    assert joined[0, 1, :, 0, 0].exp().tolist() == pytest.approx([0.8, 0.1, 0.1])
    nothing = together(torch.zeros(1, 1, 1, 3, 1, 1), torch.ones(1, 1, 1))
    assert nothing.isfinite().all()
    assert torch.equal(mean([torch.ones(2, 3), 3 * torch.ones(2, 3)]), 2 * torch.ones(2, 3))
