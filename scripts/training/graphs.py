"""Iterations of a training as CUDA graphs: thousands of small kernels are launched as one."""

import threading

import torch
from monai.engines import AdversarialTrainer
from torch import Tensor

LAUNCHING = threading.Lock()
"""Held by one thread while it captures a graph, by others while they launch work: neither disturbs the other."""


class GraphedTrainer(AdversarialTrainer):
    """MONAI's adversarial trainer; on an NVIDIA GPU an iteration is captured once and then replayed.

    Small networks on a fast GPU wait for Python to launch their kernels. All batches must be of one shape, and handlers
    of events within an iteration run when it is captured: what they launch is replayed, whatever else they do is not.

    Source: PyTorch documentation, "CUDA semantics", section "CUDA Graphs", whole-network capture.
    """

    WARM_UP = 3
    """Iterations of the first batch before the capture, in which optimizers and libraries make what they keep."""

    graph: torch.cuda.CUDAGraph | None = None

    def _iteration(self, engine: AdversarialTrainer, batchdata: dict[str, Tensor]) -> dict:
        if engine.state.device.type != "cuda" or torch.distributed.is_initialized():
            return super()._iteration(engine, batchdata)
        if self.graph is None:
            self.batch = {name: value.clone() for name, value in batchdata.items()}
            self.graph = self._captured(engine)
        else:
            for name, value in batchdata.items():
                self.batch[name].copy_(value)
        self.graph.replay()
        return self.made

    def _captured(self, engine: AdversarialTrainer) -> torch.cuda.CUDAGraph:
        for optimizer in (engine.state.g_optimizer, engine.state.d_optimizer):
            for group in optimizer.param_groups:
                # Where the graph reads it whenever it is replayed; schedulers fill it in.
                group |= {"capturable": True, "lr": torch.tensor(float(group["lr"]), device=engine.state.device)}
        stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(self.WARM_UP):
                super()._iteration(engine, self.batch)
        torch.cuda.current_stream().wait_stream(stream)
        with LAUNCHING, torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self.made = super()._iteration(engine, self.batch)
        return graph
