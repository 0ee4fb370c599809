"""What a network costs: parameters, multiply-adds, seconds, memory, and how they grow."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from scripts.networks.r2unet import R2UHDL, folded

Row = dict[str, object]

FULL_WIDTH = "full width"
"""In place of a file: the published network at full width, with random weights, on which its cost does not depend."""


@dataclass(frozen=True)
class Load:
    """One measurement.

    Attributes:
        network: what to call it.
        model: TorchScript (.ts) or ONNX (.onnx) file, or ``FULL_WIDTH``.
        frames: acquired frames; the factor is 6.
        pixels: pixels along each side.
        slices: slices of the stack.
        repeats: runs that are timed; the fastest counts.
    """

    network: str
    model: str
    frames: int = 9
    pixels: int = 192
    slices: int = 1
    repeats: int = 3


def loads(network: str, model: str) -> list[Load]:
    """The rows of a network: the usual slice, and more frames, pixels and slices.

    Args:
        network: what to call it.
        model: its TorchScript file; ``.onnx`` beside it is measured, too, where it is.
    """
    files = [p for p in (Path(model), Path(model).with_suffix(".onnx")) if p.is_file()]
    rows = []
    for path in files:
        rows.append(Load(network, str(path)))
        rows += [Load(network, str(path), frames=t, pixels=96) for t in (5, 9, 18, 36)]
        rows += [Load(network, str(path), pixels=n) for n in (64, 128, 256)]
        if path.suffix == ".ts":  # the ONNX graph takes one slice
            rows += [Load(network, str(path), pixels=96, slices=z) for z in (2, 4)]
    return rows


def cost_rows(work: Iterable[Load]) -> list[Row]:
    """Measures, one after the other, each in a fresh process, so that memory is its own."""
    rows = []
    for item in tqdm(list(work), desc="cost"):
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            rows.append(pool.submit(measure, item, torch.get_num_threads()).result())
    return rows


def measure(item: Load, threads: int) -> Row:
    """Measures one row; call it in a process that has done nothing else.

    Args:
        item: what to run.
        threads: threads to compute with.

    Returns:
        The load's fields; engine; parameters; multiply_adds (convolutions and matrix products); seconds a slice (the
        fastest run); peak_mb, the most memory the process held, and idle_mb, what it held before it ran.
    """
    torch.set_num_threads(threads)
    shape = (1, item.frames, item.pixels, item.pixels) + ((item.slices,) if item.slices > 1 else ())
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    parameters: int | None = None
    adds: int | None = None
    if item.model.endswith(".onnx"):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        session = onnxruntime.InferenceSession(item.model, options, providers=["CPUExecutionProvider"])
        engine, feed = "ONNX Runtime", {"image": image.numpy()}

        def run() -> None:
            session.run(["pred"], feed)

        idle = _peak_mb()
    else:
        engine, network = _torch_network(item)
        parameters = sum(p.numel() for p in network.parameters())
        idle = _peak_mb()
        if engine == "torch (eager)":
            with torch.device("meta"):
                twin = R2UHDL().eval()
            adds = _multiply_adds(twin, image.to("meta"))
        else:
            adds = _multiply_adds(network, image)

        def run() -> None:
            with torch.inference_mode():
                network(image)

    seconds = []
    for _ in range(item.repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {
        **asdict(item),
        "model": Path(item.model).name,
        "engine": engine,
        "threads": threads,
        "parameters": parameters,
        "multiply_adds": adds,
        "seconds_a_slice": float(np.min(seconds)) / item.slices,
        "peak_mb": _peak_mb(),
        "idle_mb": idle,
    }


def _torch_network(item: Load) -> tuple[str, torch.nn.Module]:
    if item.model == FULL_WIDTH:
        return "torch (eager)", folded(R2UHDL().eval())
    return "torch", torch.jit.load(item.model, map_location="cpu").eval()


def _multiply_adds(network: torch.nn.Module, image: torch.Tensor) -> int:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(image)
    return counter.get_total_flops() // 2


def _peak_mb() -> float:
    """The most memory this process has held so far, MB."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux counts what the parent held in ru_maxrss
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)
