"""Molecules from SMILES as packed graphs, with categories for atoms and bonds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from gradformer_dgl.data.packed import PackedGraphs
from gradformer_dgl.errors import DataError

_ELEMENTS = (
    "C", "N", "O", "F", "P", "S", "Cl", "Br", "I", "B", "Si", "Se", "As", "Na", "K", "Li", "Mg", "Ca",
    "Fe", "Cu", "Zn", "Co", "Ni", "Mn", "Hg", "Pt", "Sn", "Cr", "Cd", "Al",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One categorical feature; a value outside ``values`` gets the last category."""

    name: str
    values: tuple[Any, ...]
    of: Callable[[Any], Any]

    @property
    def size(self) -> int:
        """Number of categories."""
        return len(self.values) + 1


ATOM_COLUMNS = (
    Column("element", _ELEMENTS, lambda atom: atom.GetSymbol()),
    Column("degree", tuple(range(7)), lambda atom: atom.GetDegree()),
    Column("charge", (0, 1, -1, 2, -2), lambda atom: atom.GetFormalCharge()),
    Column("hydrogens", tuple(range(5)), lambda atom: atom.GetTotalNumHs()),
    Column(
        "hybridization", ("S", "SP", "SP2", "SP3", "SP3D", "SP3D2"), lambda atom: atom.GetHybridization().name
    ),
    Column("aromatic", (False, True), lambda atom: atom.GetIsAromatic()),
    Column("ring", (False, True), lambda atom: atom.IsInRing()),
)
BOND_COLUMNS = (
    Column("type", ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC"), lambda bond: bond.GetBondType().name),
    Column("conjugated", (False, True), lambda bond: bond.GetIsConjugated()),
    Column("ring", (False, True), lambda bond: bond.IsInRing()),
)
ATOM_SIZES = tuple(column.size for column in ATOM_COLUMNS)
BOND_SIZES = tuple(column.size for column in BOND_COLUMNS)


def pack_molecules(smiles: Sequence[str]) -> tuple[PackedGraphs, list[int]]:
    """Turn SMILES into graphs of heavy atoms.

    Parameters
    ----------
    smiles : sequence of str
        One molecule each.

    Returns
    -------
    PackedGraphs
        The molecules that RDKit can read, in order, every bond in both directions. Node features:
        (nodes, 7) int64 categories (element, degree, charge, hydrogens, hybridization, aromatic, in a
        ring); edge features: (edges, 3) (bond type, conjugated, in a ring).
    list of int
        The numbers of the molecules that it cannot read, which are left out.

    Raises
    ------
    DataError
        If RDKit is not installed.

    Examples
    --------
    >>> packed, unreadable = pack_molecules(["CCO", "no molecule", "c1ccccc1"])
    >>> packed.node_counts.tolist(), packed.edge_counts.tolist(), unreadable
    ([3, 6], [4, 12], [1])
    """
    chem, quiet = _rdkit()
    node_counts, edge_counts, unreadable = [], [], []
    ends: list[tuple[int, int]] = []
    atoms: list[list[int]] = []
    bonds: list[list[int]] = []
    with quiet():
        for number, text in enumerate(smiles):
            molecule = chem.MolFromSmiles(text)
            if molecule is None:
                unreadable.append(number)
                continue
            atoms.extend(_categories(molecule.GetAtoms(), _ATOM_CODES))
            bonds.extend(_categories(molecule.GetBonds(), _BOND_CODES))
            ends.extend((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds())
            node_counts.append(molecule.GetNumAtoms())
            edge_counts.append(2 * molecule.GetNumBonds())
    src = torch.tensor(list(chain.from_iterable(ends)), dtype=torch.int32)
    packed = PackedGraphs(
        torch.tensor(node_counts, dtype=torch.int64),
        torch.tensor(edge_counts, dtype=torch.int64),
        src,
        src.view(-1, 2).flip(1).flatten(),
        node_features=torch.tensor(atoms, dtype=torch.int64).view(-1, len(ATOM_COLUMNS)),
        edge_features=torch.tensor(bonds, dtype=torch.int64)
        .view(-1, len(BOND_COLUMNS))
        .repeat_interleave(2, dim=0),
    )
    return packed, unreadable


_Codes = tuple[tuple[Callable[[Any], Any], dict[Any, int], int], ...]


def _codes(columns: tuple[Column, ...]) -> _Codes:
    return tuple(
        (column.of, {value: code for code, value in enumerate(column.values)}, len(column.values))
        for column in columns
    )


_ATOM_CODES, _BOND_CODES = _codes(ATOM_COLUMNS), _codes(BOND_COLUMNS)


def _categories(parts: Any, codes: _Codes) -> list[list[int]]:
    return [[code.get(of(part), other) for of, code, other in codes] for part in parts]


def _rdkit() -> tuple[Any, Any]:
    try:
        from rdkit import Chem, rdBase
    except ImportError as error:
        raise DataError("molecules need RDKit: pip install gradformer-dgl[chem]") from error
    return Chem, rdBase.BlockLogs
