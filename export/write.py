"""Writing a bundle: every graph exported, compared with torch, and moved into place only when all of them hold."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bundle import SamplingFacts, write_manifest
from engine.harmony_tables import HarmonyTables
from engine.manifest import CHORD_GRAPH, MANIFEST_NAME, graph_names
from export.codec import CodecCopy, CodecExport
from export.graphs import GraphPlan, export_graph, round_weights
from export.parity import Parity, measure_parity, require

BYTES_PER_MB = 1_000_000


def write_bundle(
    out: Path,
    codec: CodecExport | CodecCopy,
    denoiser: GraphPlan,
    latent_mean: NDArray[np.float32],
    latent_std: NDArray[np.float32],
    sampling: SamplingFacts,
    training: Mapping[str, Any],
    say: Callable[[str], None] = print,
    harmony: HarmonyTables | None = None,
    chords: Path | None = None,
) -> tuple[Parity, ...]:
    """Export codec and denoiser to the folder `out`, with a manifest; return how far each output is from torch.

    Args:
        out: the bundle's folder; what lies in it is replaced when everything else has succeeded.
        codec: encoder and decoder, their weights rounded to float16 in place; or those of a bundle, copied as they are.
        denoiser: plan of the denoiser, rounded likewise.
        latent_mean: (64,) mean of the latents that the denoiser was trained on.
        latent_std: (64,) their deviation.
        sampling: what the denoiser was trained for.
        training: facts for people to read, besides the codec's.
        say: told one line for each graph and output.
        harmony: what the engine reads key and chords off a vocal with; None leaves that out.
        chords: a bundle's graph that reads chords, copied as it is; `export.chords` puts a new one in.

    Raises:
        ParityError: a graph does not give what torch gives; `out` is left as it was.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
        folder = Path(name)
        graphs = (codec.encoder, codec.decoder, denoiser, *((chords,) if chords else ()))
        names = graph_names(chords is not None)
        parities = [parity for graph in graphs for parity in _write_graph(graph, folder, say)]
        require(parities)
        facts = {"codec": codec.training, **training}
        write_manifest(folder, codec.facts, latent_mean, latent_std, sampling, facts, harmony)
        out.mkdir(exist_ok=True)
        (out / CHORD_GRAPH).unlink(missing_ok=True)
        for file in (*names, MANIFEST_NAME):
            (folder / file).replace(out / file)
    size = sum((out / file).stat().st_size for file in names)
    say(f"{out}: {size / BYTES_PER_MB:.1f} MB")
    return tuple(parities)


def _write_graph(plan: GraphPlan | Path, folder: Path, say: Callable[[str], None]) -> tuple[Parity, ...]:
    if isinstance(plan, Path):
        shutil.copyfile(plan, folder / plan.name)
        say(f"{plan.name}: as in {plan.parent}")
        return ()
    count = round_weights(plan.network)
    path = export_graph(plan, folder)
    say(f"{plan.name}: {count / 1e6:.2f} M weights, {path.stat().st_size / BYTES_PER_MB:.1f} MB")
    parities = measure_parity(plan, path)
    for parity in parities:
        say(f"  {parity.line()}")
    return parities
