"""Molecules from SMILES as packed graphs, with categories for atoms and bonds."""

import contextlib
import hashlib
import json
import logging
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import torch

from gradformer_dgl.data.dataset import FeatureSource, GraphDataset
from gradformer_dgl.data.packed import PackedGraphs
from gradformer_dgl.data.readers.download import default_folder
from gradformer_dgl.data.readers.molecule_features import BASIC, OGB, TABLES, MoleculeFeatures, import_chem
from gradformer_dgl.data.readers.smiles_parser import MoleculeArrays, parse_molecules
from gradformer_dgl.support.atomic_write import drafted
from gradformer_dgl.support.progress import Progress

_CHUNK = 1000
# What is read in a second is not worth a file.
_FEWEST_KEPT = 2000
_KEPT_FORMAT = 1
_logger = logging.getLogger("gradformer_dgl")


class PackedMolecules(NamedTuple):
    """Molecules as graphs, in order, without the SMILES that RDKit cannot read.

    The lists hold the numbers of these, and of those read without the checks of RDKit.
    """

    graphs: PackedGraphs
    unreadable: list[int]
    unsanitized: list[int]


def pack_molecules(
    smiles: Sequence[str],
    features: MoleculeFeatures = BASIC,
    *,
    accept_invalid: bool = False,
    keep: bool = False,
    jobs: int = 1,
) -> PackedMolecules:
    """Return SMILES as graphs of heavy atoms: node and edge features (rows, columns), uint8 categories.

    ``accept_invalid`` reads a molecule that RDKit can parse but not sanitize (for example, a metal with more
    bonds than it allows) without its checks, as older versions of RDKit and so the Open Graph Benchmark read
    it. ``keep`` keeps many molecules in ``~/.cache/gradformer_dgl/molecules`` for the next time that the same
    SMILES are read with the same version of RDKit. ``jobs`` are processes; -1 takes one per processor.
    """
    import_chem()
    kept = _kept_file(smiles, features, accept_invalid) if keep and len(smiles) >= _FEWEST_KEPT else None
    arrays = None if kept is None else _read_kept(kept)
    if arrays is None:
        arrays = _parse(smiles, features, accept_invalid, jobs)
        if kept is not None:
            _write_kept(kept, arrays)
    ends = torch.from_numpy(arrays.ends)
    graphs = PackedGraphs(
        torch.from_numpy(arrays.atom_counts),
        2 * torch.from_numpy(arrays.bond_counts),
        ends.flatten(),
        ends.flip(1).flatten(),
        node_features=torch.from_numpy(arrays.atoms),
        edge_features=torch.from_numpy(arrays.bonds).repeat_interleave(2, dim=0),
    )
    return PackedMolecules(graphs, arrays.unreadable.tolist(), arrays.unsanitized.tolist())


def molecule_dataset(
    name: str,
    graphs: PackedGraphs,
    table: str,
    task: str,
    output_names: Sequence[str],
    unsanitized: bool = False,
) -> GraphDataset:
    """Return the data set of molecules with the features of a table of ``TABLES``."""
    features = TABLES[table]
    encoder = "ogb" if features is OGB else "embedding"
    return GraphDataset(
        name=name,
        graphs=graphs,
        task=task,
        level="graph",
        out_size=len(output_names),
        node_encoder=encoder,
        node_size=features.atom_sizes,
        edge_encoder=encoder,
        edge_size=features.bond_sizes,
        output_names=tuple(output_names),
        source=FeatureSource(molecules=table, unsanitized=unsanitized),
    )


def _parse(
    smiles: Sequence[str], features: MoleculeFeatures, accept_invalid: bool, jobs: int
) -> MoleculeArrays:
    starts = range(0, max(len(smiles), 1), _CHUNK)
    tasks = (
        joblib.delayed(parse_molecules)(smiles[start : start + _CHUNK], features, accept_invalid)
        for start in starts
    )
    workers = joblib.Parallel(n_jobs=1 if len(starts) == 1 else jobs, return_as="generator")
    parts = list(_shown(workers(tasks), len(smiles)))
    # Numbers of SMILES count from the start of a part.
    moved = [
        part._replace(unreadable=part.unreadable + start, unsanitized=part.unsanitized + start)
        for part, start in zip(parts, starts, strict=True)
    ]
    return MoleculeArrays(*(np.concatenate(column) for column in zip(*moved, strict=True)))


def _shown(parts: Iterator[MoleculeArrays], total: int) -> Iterator[MoleculeArrays]:
    """Pass on the parts, with a bar where there are many and the log is not silent."""
    shown = total >= _FEWEST_KEPT and _logger.isEnabledFor(logging.INFO)
    with Progress("molecules", shown, keep="never") as progress:
        progress.plan(total)
        for part in parts:
            progress.advance(len(part.atom_counts) + len(part.unreadable))
            yield part


def _kept_file(smiles: Sequence[str], features: MoleculeFeatures, accept_invalid: bool) -> Path:
    from rdkit import rdBase

    digest = hashlib.sha256(repr((_KEPT_FORMAT, rdBase.rdkitVersion, features, accept_invalid)).encode())
    digest.update(json.dumps(list(smiles)).encode())
    return default_folder() / "molecules" / f"{digest.hexdigest()}.npz"


def _read_kept(file: Path) -> MoleculeArrays | None:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return MoleculeArrays(**{name: archive[name] for name in MoleculeArrays._fields})
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        return None


def _write_kept(file: Path, arrays: MoleculeArrays) -> None:
    """Write the file whole or not at all; without room or rights for it the molecules are just read again."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with drafted(file, durable=False) as draft, draft.open("wb") as stream:
            np.savez_compressed(stream, **arrays._asdict())
