"""Features of atoms and bonds: columns of categories, of RDKit's basic ones and of OGB."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from gradformer_dgl.support.errors import DataError

_ELEMENTS = (
    "C", "N", "O", "F", "P", "S", "Cl", "Br", "I", "B", "Si", "Se", "As", "Na", "K", "Li", "Mg", "Ca",
    "Fe", "Cu", "Zn", "Co", "Ni", "Mn", "Hg", "Pt", "Sn", "Cr", "Cd", "Al",
)  # fmt: skip


def import_chem() -> Any:
    """Import ``rdkit.Chem``; :class:`DataError` if RDKit is not installed."""
    try:
        from rdkit import Chem
    except ImportError as error:
        raise DataError("molecules need RDKit: pip install gradformer-dgl[chem]") from error
    return Chem


@dataclass(frozen=True)
class Column:
    """One categorical feature: the values of a method of RDKit's atoms or bonds that have a category each.

    ``kind`` is ``"element"`` where the values are symbols of elements and the method returns numbers, or the
    RDKit enumeration that has the values' names. With ``others`` all other values have one more category, the
    last; else they count as the last value.
    """

    name: str
    values: tuple[Any, ...]
    method: str
    kind: str | None = None
    others: bool = True

    @property
    def size(self) -> int:
        """Number of categories."""
        return len(self.values) + self.others

    def codes(self, raw: Int64[np.ndarray, " rows"]) -> UInt8[np.ndarray, " rows"]:
        """Return the categories of the values of the method, as integers."""
        numbers = np.array([self._number(value) for value in self.values], dtype=np.int64)
        order = np.argsort(numbers)
        place = np.minimum(np.searchsorted(numbers, raw, sorter=order), len(numbers) - 1)
        found = order[place]
        return np.where(numbers[found] == raw, found, self.size - 1).astype(np.uint8)

    def _number(self, value: Any) -> int:
        if self.kind is None:
            return int(value)
        chem = import_chem()
        if self.kind == "element":
            return int(chem.GetPeriodicTable().GetAtomicNumber(value))
        return int(getattr(getattr(chem, self.kind), value))


@dataclass(frozen=True)
class MoleculeFeatures:
    """Columns of atoms and of bonds."""

    atoms: tuple[Column, ...]
    bonds: tuple[Column, ...]

    @property
    def atom_sizes(self) -> tuple[int, ...]:
        """Categories of each column of atoms."""
        return tuple(column.size for column in self.atoms)

    @property
    def bond_sizes(self) -> tuple[int, ...]:
        """Categories of each column of bonds."""
        return tuple(column.size for column in self.bonds)


_NO_YES = (False, True)

BASIC = MoleculeFeatures(
    atoms=(
        Column("element", _ELEMENTS, "GetAtomicNum", "element"),
        Column("degree", tuple(range(7)), "GetDegree"),
        Column("charge", (0, 1, -1, 2, -2), "GetFormalCharge"),
        Column("hydrogens", tuple(range(5)), "GetTotalNumHs"),
        Column(
            "hybridization",
            ("S", "SP", "SP2", "SP3", "SP3D", "SP3D2"),
            "GetHybridization",
            "HybridizationType",
        ),
        Column("aromatic", _NO_YES, "GetIsAromatic"),
        Column("ring", _NO_YES, "IsInRing"),
    ),
    bonds=(
        Column("type", ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC"), "GetBondType", "BondType"),
        Column("conjugated", _NO_YES, "GetIsConjugated"),
        Column("ring", _NO_YES, "IsInRing"),
    ),
)
"""Element, degree, charge, hydrogens, hybridization, aromatic, ring; bond type, conjugated, ring."""

OGB = MoleculeFeatures(
    atoms=(
        Column("atomic_num", tuple(range(1, 119)), "GetAtomicNum"),
        Column(
            "chirality",
            ("CHI_UNSPECIFIED", "CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW", "CHI_OTHER"),
            "GetChiralTag",
            "ChiralType",
        ),
        Column("degree", tuple(range(11)), "GetTotalDegree"),
        Column("formal_charge", tuple(range(-5, 6)), "GetFormalCharge"),
        Column("num_h", tuple(range(9)), "GetTotalNumHs"),
        Column("num_rad_e", tuple(range(5)), "GetNumRadicalElectrons"),
        Column(
            "hybridization", ("SP", "SP2", "SP3", "SP3D", "SP3D2"), "GetHybridization", "HybridizationType"
        ),
        Column("is_aromatic", _NO_YES, "GetIsAromatic", others=False),
        Column("is_in_ring", _NO_YES, "IsInRing", others=False),
    ),
    bonds=(
        Column("bond_type", ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC"), "GetBondType", "BondType"),
        Column(
            "bond_stereo",
            ("STEREONONE", "STEREOZ", "STEREOE", "STEREOCIS", "STEREOTRANS", "STEREOANY"),
            "GetStereo",
            "BondStereo",
            others=False,
        ),
        Column("is_conjugated", _NO_YES, "GetIsConjugated", others=False),
    ),
)
"""The features of the Open Graph Benchmark (``ogb.utils.features``, ogb 1.3.6), category by category."""

TABLES = {"basic": BASIC, "ogb": OGB}
"""All of them by name."""
