"""What hangs onto the engines, and where weights start from."""

import math

import pytest
import torch
from ignite.engine import Engine, Events

from scripts.networks import HDLNet
from scripts.training.handlers import CosineSchedule, FreshSlices, start_from
from scripts.training.simulated import phantom_sources
from scripts.training.windows import Windows


def test_slices_are_replaced_oldest_first():
    windows = Windows(phantom_sources(3, 11, 48), 48, 4)
    before = list(windows.sources)
    fresh, trainer = FreshSlices(windows, 3, 2, seed=0), Engine(lambda *_: None)
    fresh.attach(trainer)
    trainer.run([0], max_epochs=1)
    assert all(a is b for a, b in zip(windows.sources, before, strict=True))
    trainer.run([0], max_epochs=2)
    assert windows.sources[2] is before[2]
    assert not any(a is b for a, b in zip(windows.sources[:2], before[:2], strict=True))
    assert windows.epoch == 1
    trainer.run([0], max_epochs=3)
    assert windows.sources[2] is not before[2]


def test_a_resumed_run_has_the_slices_of_one_that_went_through():
    through, resumed = (Windows(phantom_sources(3, 11, 48), 48, 4) for _ in range(2))
    trainer = Engine(lambda *_: None)
    FreshSlices(through, 3, 2, seed=0).attach(trainer)
    trainer.run([0], max_epochs=3)
    again = Engine(lambda *_: None)
    FreshSlices(resumed, 3, 2, seed=0).attach(again)
    again.load_state_dict({"epoch_length": 1, "max_epochs": 3, "iteration": 2})
    again.run([0], max_epochs=3)
    assert resumed.epoch == through.epoch == 2
    for a, b in zip(through.sources, resumed.sources, strict=True):
        assert torch.equal(a.magnitude, b.magnitude)


def test_a_network_starts_from_what_fits(tmp_path):
    torch.manual_seed(0)
    old, new = HDLNet(features=24), HDLNet()
    first = new.state_dict()["interpolation.motion_in.weight"].clone()
    torch.save({"network": old.state_dict()}, tmp_path / "checkpoint.pt")
    started = start_from(new, str(tmp_path / "checkpoint.pt")).state_dict()
    assert torch.equal(started["synthesis.beat.curves.weight"], old.state_dict()["synthesis.beat.curves.weight"])
    assert torch.equal(started["interpolation.motion_in.weight"], first)  # another shape in the old one


def test_a_network_starts_from_the_mean_of_several(tmp_path):
    network = torch.nn.Linear(2, 1)
    for k in range(3):
        torch.save({"weight": torch.tensor([[1.0, 2.0]]) * 10**k, "bias": torch.ones(4)}, tmp_path / f"{k}.pt")
    bias = float(network.bias)
    start_from(network, [str(tmp_path / f"{k}.pt") for k in range(3)])
    assert network.weight.tolist() == [[37.0, 74.0]]
    assert float(network.bias) == bias  # of another shape in the files


def test_a_network_that_starts_from_nothing_keeps_its_random_start():
    network = torch.nn.Linear(2, 1)
    weight = network.weight.clone()
    assert torch.equal(start_from(network, "").weight, weight)


def test_a_run_limited_in_time_ends_then_with_a_small_learning_rate(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.time", lambda: now[0])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = CosineSchedule(10**6, seconds=100)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    now[0] += 60  # what a run makes ready before it starts does not count
    rates = []

    def step(engine, batch):
        now[0] += 4
        rates.append(optimizer.param_groups[0]["lr"])

    trainer = Engine(step)
    schedule.attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: scheduler.step())
    trainer.run(range(5), max_epochs=1000)
    # Five steps, 20 s, an epoch; 100 s are over after the first step of the sixth.
    cosine = [0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2 for share in (0.2, 0.4, 0.6, 0.8)]
    expected = [rate for rate in (0.3, *cosine) for _ in range(5)] + [0.01]
    assert rates == pytest.approx(expected)


def test_several_processes_are_not_limited_each_by_a_clock_of_its_own(monkeypatch):
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    CosineSchedule(3).attach(Engine(lambda *_: None))
    with pytest.raises(ValueError, match="limit_seconds: found 60, expected 0 where several"):
        CosineSchedule(3, seconds=60).attach(Engine(lambda *_: None))
