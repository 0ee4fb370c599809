"""Training samples: what moves with what."""

import pickle

import pytest
import torch
from monai.bundle import ConfigParser

from scripts.networks.motion import warp
from scripts.training.losses import region
from scripts.training.simulated import phantom_sources
from scripts.training.sources import Source
from scripts.training.windows import Windows


@pytest.fixture(scope="module")
def sources():
    return phantom_sources(3, 11, 64)


def test_samples_have_the_shapes_that_the_stages_read(sources):
    sample = Windows(sources, 48, 4, velocities=True)[0]
    assert sample["keys"].shape == (4, 48, 48)
    assert sample["cycle"].shape == (8, 6, 6)
    assert sample["magnitude"].shape == sample["label"].shape == (3, 48, 48)
    assert sample["velocity"].shape == (3, 3, 48, 48)
    assert sample["motion"].shape == (3, 4, 48, 48)
    assert sample["tau"].min() >= 0
    assert sample["tau"].max() <= 1


def test_the_same_seed_draws_the_same_samples(sources):
    first, second = (Windows(sources, 48, 4, seed=3) for _ in range(2))
    assert all(torch.equal(first[k]["keys"], second[k]["keys"]) for k in (2, 0, 1))


def test_another_epoch_or_number_draws_another_sample(sources):
    windows = Windows(sources, 48, 4)
    first, other = windows[0]["keys"], windows[1]["keys"]
    windows.epoch = 1
    assert not torch.equal(first, other)
    assert not torch.equal(first, windows[0]["keys"])


def test_a_still_picture_is_told_what_two_pictures_tell_of_the_cycle():
    both = torch.stack((torch.zeros(64, 64), torch.ones(64, 64))).half()
    label = torch.zeros(1, 64, 64, dtype=torch.uint8)
    windows = Windows([Source(both + 1, 0.0, label, None, None, [0], torch.zeros(1, 2), torch.zeros(1, 2))], 48, 20)
    samples = [windows[k] for k in range(20)]
    assert all(torch.equal(s["keys"], s["keys"][:1].expand(4, -1, -1)) for s in samples)
    ratios = [float(s["cycle"][4].mean() / s["cycle"][0].mean()) for s in samples]
    assert any(r == pytest.approx(1) for r in ratios)  # stands still
    assert any(r > 1.2 for r in ratios)  # half a cycle later it is the other picture


def test_half_of_a_patient_s_samples_keep_the_noise_of_the_scanner():
    noise = torch.rand(20, 240, 240, generator=torch.Generator().manual_seed(0)) + 0.5
    labels, none = torch.zeros(20, 240, 240, dtype=torch.uint8), torch.zeros(20, 2)
    windows = Windows([Source(noise.half(), 0.0, labels, None, None, [0], none, none)], 32, 120)
    likeness = []
    for k in range(len(windows)):
        picture = windows[k]["magnitude"][0]
        steps = picture[:, (picture > 0).all(0)].diff(dim=1)
        if steps.shape[1] > 12:
            pair = torch.stack((steps[:, 1:].flatten(), steps[:, :-1].flatten()))
            likeness.append(float(torch.corrcoef(pair)[0, 1]))
    # A step between neighbours of white noise is undone by the next one, by half; smoothing makes it less so.
    kept = sum(abs(r + 0.5) < 0.06 for r in likeness)
    assert 0.3 < kept / len(likeness) < 0.7
    assert sum(r > -0.4 for r in likeness) > 0.3 * len(likeness)


def test_true_motion_explains_the_frames_better_than_blending(sources):
    """Also after turns by 90 degrees: vectors turn with their picture."""
    for source in sources:
        source.noise = 0.0
    windows = Windows(sources, 48, 1, seed=1)
    blended = carried = 0.0
    for draw in range(40):
        sample = windows[draw]
        for k in range(1, 3):
            t, truth = float(sample["tau"][k]), sample["magnitude"][k]
            where = region(sample["label"][k][None, None])[0, 0] > 0
            first, second = (
                warp(sample["keys"][None, 1 + e : 2 + e], sample["motion"][k, 2 * e : 2 * e + 2][None])[0, 0]
                for e in (0, 1)
            )
            linear = (1 - t) * sample["keys"][1] + t * sample["keys"][2]
            carried += float((((1 - t) * first + t * second - truth)[where] ** 2).sum())
            blended += float(((linear - truth)[where] ** 2).sum())
    assert carried < 0.6 * blended


def test_a_frame_that_is_shown_twice_has_its_noise_once(sources):
    windows = Windows(sources, 48, 30, velocities=True)
    for source in sources:
        source.noise = 0.1
    repeated = 0
    for k in range(30):
        sample = windows[k]
        apart = (sample["around"] - sample["keys"][1]).abs().flatten(1).amax(1)
        # Of a cine of up to 32 frames, the spline passes through the gap's first frame.
        if round(1 / float(sample["gap"])) <= 32:
            repeated += 1
            assert float(apart[2]) == 0
            assert float(apart[3]) > 0
    assert repeated > 10


def test_no_sources_is_an_error_in_words():
    with pytest.raises(ValueError, match="at least one slice cine"):
        Windows([], 48, 4)


def test_frames_that_nobody_acquired_are_shown_but_not_to_be_learnt():
    frames, labels = torch.rand(20, 64, 64) + 1, torch.ones(20, 64, 64, dtype=torch.uint8)
    none = torch.zeros(20, 2)
    for acquired in (True, False):
        source = Source(frames.half(), 0.0, labels, None, None, [0, 7], none, none, acquired)
        sample = Windows([source], 48, 1)[0]
        assert sample["magnitude"].shape == (3, 48, 48)
        assert bool(sample["magnitude"].isfinite().all()) is acquired
        assert sample["keys"].isfinite().all()
        assert (sample["label"] == 1).all()


def test_a_batch_holds_the_samples_of_its_numbers(sources):
    """Sources of a kind together; in which batch a sample is drawn changes nothing."""
    label, none = torch.zeros(1, 64, 64, dtype=torch.uint8), torch.zeros(1, 2)
    still = Source(torch.rand(2, 64, 64).half() + 1, 0.01, label, None, None, [0], none, none)
    windows = Windows([*sources, still], 48, 12, velocities=True, seed=2)
    batch, left = windows.__getitems__(list(range(12))), {name: [] for name in windows[0]}
    for number in range(12):
        for name, value in windows[number].items():
            left[name].append(value)
    assert batch.keys() == left.keys()
    places = [int(torch.stack([(keys - k).abs().amax() for k in left["keys"]]).argmin()) for keys in batch["keys"]]
    assert sorted(places) == list(range(12))
    for name, values in batch.items():
        drawn = torch.stack([left[name][k] for k in places])
        assert torch.allclose(values.float(), drawn.float(), atol=1e-4, equal_nan=True), name


def test_a_source_that_comes_twice_is_kept_once(sources):
    windows = Windows([sources[0], sources[1], sources[0]], 48, 1, device="meta")
    assert windows.sources[0] is windows.sources[2]
    assert windows.sources[0].magnitude.device.type == windows.sources[1].velocity.device.type == "meta"
    assert windows.sources[0].areas.device.type == "cpu"
    assert sources[0].magnitude.device.type == "cpu"


@pytest.mark.parametrize("name", ["train_interpolation", "train_synthesis"])
def test_what_collates_reaches_processes_that_are_spawned(name, root):
    parser = ConfigParser()
    parser.read_config(str(root / "bundle" / "configs" / f"{name}.json"))
    collate = pickle.loads(pickle.dumps(parser.get_parsed_content("train#dataloader#collate_fn")))
    batch = {"image": torch.zeros(1)}
    assert collate(batch) is batch
