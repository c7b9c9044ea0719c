"""Worker processes that share a machine."""

from __future__ import annotations

import torch


def on_one_core() -> None:
    """PyTorch and NumPy's linear algebra on one thread each, for the rest of this process.

    Several processes with a pool of threads each wait for one another most of the time.
    """
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    torch.set_num_threads(1)
    threadpool_limits(1)
