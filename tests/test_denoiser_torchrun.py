"""Several processes train one denoiser: torchrun over gloo, on the CPU, as it runs over several GPUs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from tests.synthetic_latents import write_songs

ROOT = Path(__file__).parents[1]


def test_two_processes_train_and_one_of_them_saves(tmp_path: Path) -> None:
    write_songs(tmp_path / "latents", 8, 150)
    out = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    command += ["--standalone", "-m", "training.denoiser", "--config", str(ROOT / "configs" / "denoiser_tiny.toml")]
    command += ["--out", str(out), "--set", f"data.latents={tmp_path / 'latents'}", "--set", "budget.steps=24"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("finished at step 24") == 1
    last = torch.load(out / "last.pt", weights_only=True)
    assert last["step"] == 24
    assert np.isfinite(torch.load(out / "best.pt", weights_only=True)["held_out_loss"])
