"""SMILES to arrays of numbers: what runs for each molecule, in any process, without torch or DGL."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from gradformer_dgl.data.readers.molecule_features import Column, MoleculeFeatures, import_chem


class MoleculeArrays(NamedTuple):
    """Molecules one after the other; atoms of a bond are counted from 0 in each.

    ``unreadable`` are the numbers of SMILES left out, ``unsanitized`` of those read without RDKit's checks.
    """

    atom_counts: Int64[np.ndarray, " molecules"]
    bond_counts: Int64[np.ndarray, " molecules"]
    ends: Int32[np.ndarray, "bonds 2"]
    atoms: UInt8[np.ndarray, "atoms atom_columns"]
    bonds: UInt8[np.ndarray, "bonds bond_columns"]
    unreadable: Int64[np.ndarray, " left_out"]
    unsanitized: Int64[np.ndarray, " unchecked"]


def parse_molecules(
    smiles: Sequence[str], features: MoleculeFeatures, accept_invalid: bool = False
) -> MoleculeArrays:
    """Read SMILES with RDKit; ``accept_invalid`` reads those that fail its checks without them."""
    chem = import_chem()
    from rdkit import rdBase

    atom_getters = [getattr(chem.Atom, column.method) for column in features.atoms]
    bond_getters = [getattr(chem.Bond, column.method) for column in features.bonds]
    begin, end = chem.Bond.GetBeginAtomIdx, chem.Bond.GetEndAtomIdx
    atom_counts, bond_counts, unreadable, unsanitized = [], [], [], []
    ends: tuple[list[int], list[int]] = ([], [])
    atom_values: list[list[int]] = [[] for _ in features.atoms]
    bond_values: list[list[int]] = [[] for _ in features.bonds]
    with rdBase.BlockLogs():
        for number, text in enumerate(smiles):
            try:
                molecule = chem.MolFromSmiles(text)
                checked = molecule is not None
                if molecule is None and accept_invalid:
                    molecule = _without_checks(chem, text)
                if molecule is None or not molecule.GetNumAtoms():
                    unreadable.append(number)
                    continue
                # By number: twice as fast as RDKit's iterators.
                atoms = [molecule.GetAtomWithIdx(index) for index in range(molecule.GetNumAtoms())]
                bonds = [molecule.GetBondWithIdx(index) for index in range(molecule.GetNumBonds())]
                of_atoms = [list(map(getter, atoms)) for getter in atom_getters]
                of_bonds = [list(map(getter, bonds)) for getter in (*bond_getters, begin, end)]
            except Exception:
                # RDKit raises many kinds, such as for elements that it has no data of.
                unreadable.append(number)
                continue
            if not checked:
                unsanitized.append(number)
            for values, more in zip((*atom_values, *bond_values, *ends), (*of_atoms, *of_bonds), strict=True):
                values.extend(more)
            atom_counts.append(len(atoms))
            bond_counts.append(len(bonds))
    return MoleculeArrays(
        np.array(atom_counts, dtype=np.int64),
        np.array(bond_counts, dtype=np.int64),
        np.array(ends, dtype=np.int32).T,
        _categories(features.atoms, atom_values),
        _categories(features.bonds, bond_values),
        np.array(unreadable, dtype=np.int64),
        np.array(unsanitized, dtype=np.int64),
    )


def _without_checks(chem: Any, text: str) -> Any:
    """Read what RDKit can parse but not sanitize, with rings, aromaticity and hybridization all the same."""
    molecule = chem.MolFromSmiles(text, sanitize=False)
    if molecule is None:
        return None
    molecule.UpdatePropertyCache(strict=False)
    # The valences first; what has no Kekulé structure keeps the aromatic atoms of its SMILES.
    steps = chem.SANITIZE_ALL ^ chem.SANITIZE_PROPERTIES
    if chem.SanitizeMol(molecule, steps, catchErrors=True):
        molecule = chem.MolFromSmiles(text, sanitize=False)
        molecule.UpdatePropertyCache(strict=False)
        steps ^= chem.SANITIZE_KEKULIZE | chem.SANITIZE_SETAROMATICITY
        if chem.SanitizeMol(molecule, steps, catchErrors=True):
            chem.FastFindRings(molecule)
    chem.AssignStereochemistry(molecule, cleanIt=True)
    return chem.RemoveHs(molecule, sanitize=False)


def _categories(columns: Sequence[Column], values: list[list[int]]) -> np.ndarray:
    codes = [
        column.codes(np.fromiter(raw, dtype=np.int64, count=len(raw)))
        for column, raw in zip(columns, values, strict=True)
    ]
    return np.stack(codes, axis=1)
