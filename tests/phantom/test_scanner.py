"""Phase coding, noise and point spread."""

import math

import torch

from scripts.phantom.scanner import Scanner, acquire, add_noise, decode_phase, encode_phase


def generator():
    return torch.Generator().manual_seed(0)


def test_raw_values_by_hand():
    velocity = torch.tensor([-20.0, -10.0, 0.0, 10.0, 19.9]).view(1, 1, 1, 5)
    raw = encode_phase(velocity, torch.ones(1, 1, 1, 5), torch.zeros(1), 20.0, generator())
    assert raw.flatten().tolist() == [0, 1024, 2048, 3072, 4086]


def test_decoding_inverts_encoding_within_the_quantisation_step():
    velocity = torch.linspace(-19.9, 19.9, 200).view(1, 1, 1, 200)
    raw = encode_phase(velocity, torch.ones_like(velocity), torch.zeros(1), 20.0, generator())
    assert (decode_phase(raw, 20.0) - velocity).abs().max() <= 40 / 4096 / 2 + 1e-4


def test_velocity_beyond_venc_wraps_or_stays():
    fast = torch.full((1, 1, 1, 1), 25.0)
    one, silent = torch.ones_like(fast), torch.zeros(1)
    assert abs(float(decode_phase(encode_phase(fast, one, silent, 20.0, generator(), wrap=True), 20.0)) + 15) < 0.02
    assert float(decode_phase(encode_phase(fast, one, silent, 20.0, generator()), 20.0)) > 19.9


def test_phase_is_uniform_where_there_is_no_signal():
    nothing = torch.zeros(1, 1, 200, 200)
    raw = encode_phase(nothing, nothing, torch.ones(1), 20.0, generator(), wrap=True).float()
    assert abs(float(raw.mean()) - 2048) < 30
    assert abs(float(raw.std()) - 4096 / math.sqrt(12)) < 30


def test_phase_noise_follows_the_signal_to_noise_ratio():
    velocity, snr = torch.zeros(1, 1, 300, 300), 20.0
    raw = encode_phase(velocity, torch.ones_like(velocity), torch.tensor([1 / snr]), 20.0, generator())
    assert abs(float(decode_phase(raw, 20.0).std()) - 20 / math.pi / snr) < 0.01


def test_noise_on_nothing_is_rayleigh():
    noisy = add_noise(torch.zeros(300, 300), torch.tensor(2.0), generator())
    assert abs(float(noisy.mean()) - 2 * math.sqrt(math.pi / 2)) < 0.02


def test_point_spread_keeps_the_total():
    point = torch.zeros(1, 1, 21, 21)
    point[..., 10, 10] = 1
    scanner = Scanner(torch.tensor([1.5]), torch.zeros(1, 5), torch.zeros(1), torch.ones(1))
    image = acquire(scanner, point, 1.5)
    assert abs(float(image.sum()) - 1) < 1e-5
    assert float(image[..., 10, 10]) < 0.3
    assert torch.allclose(image, image.transpose(-1, -2))
