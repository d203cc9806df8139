"""Predictions averaged over several runs, beside the average by hand."""

import numpy as np
import pytest
import torch

from gradformer_dgl import Predictor
from gradformer_dgl.data import load_dataset
from gradformer_dgl.support.errors import RunError


@pytest.fixture
def runs(shapes_run):
    """Three runs whose models read other distances, other encodings, or no attention at all."""
    return (
        shapes_run("shapes", encoding="rwse:5"),
        shapes_run("gin", model="gin"),
        shapes_run("wl", model="wl", wl_rounds=3),
        shapes_run("ohms", distance="resistance"),
    )


def test_each_run_counts_alike_with_the_mean_of_its_seeds(runs, shapes_root):
    dataset = load_dataset("SHAPES", shapes_root)
    by_run = [(run.expected(0) + run.expected(1)).numpy() / 2 for run in runs]
    expected = sum(by_run) / len(by_run)
    predictor = Predictor.from_run(*(run.folder for run in runs))
    np.testing.assert_allclose(predictor.predict(dataset).numpy(), expected, atol=1e-5)
    (members,) = predictor.each_part(predictor.fit.packed(dataset), predictor.distances())
    np.testing.assert_allclose(members.numpy(), np.stack(by_run), atol=1e-5)
    second = Predictor.from_run(runs[0].folder, runs[1].folder, seed=1).predict(dataset)
    np.testing.assert_allclose(second.numpy(), (runs[0].expected(1) + runs[1].expected(1)) / 2, atol=1e-5)


def test_distances_that_members_share_are_read_once(runs, shapes_root, monkeypatch):
    predictor = Predictor.from_run(runs[1].folder, runs[2].folder, runs[3].folder)
    source = predictor.distances()
    calls, attach = [], source.attach
    monkeypatch.setattr(source, "attach", lambda *given: calls.append(given[2].distance) or attach(*given))
    packed = predictor.fit.packed(load_dataset("SHAPES", shapes_root))
    assert len(list(predictor.each_part(packed, source))) == 1
    assert sorted(set(calls)) == ["resistance", "shortest_path"]
    assert calls.count("resistance") == 1


def test_values_and_their_deviation_over_the_runs(molecule_run, workplace, table):
    runs = [molecule_run("mass", "shift", seeds=(0, 1), **model) for model in ({}, {"model": "gin"})]
    header, rows, _ = table(*(run.folder for run in runs), workplace / "molecules.csv")
    assert header == ["row", "SMILES", "mass", "shift", "mass_std", "shift_std"]
    by_run = torch.stack([(run.expected(0) + run.expected(1)) / 2 for run in runs])
    found = torch.tensor([[float(cell) for cell in row[2:]] for row in rows])
    torch.testing.assert_close(found[:, :2], by_run.mean(0), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found[:, 2:], by_run.std(0), rtol=1e-2, atol=1e-2)


def test_runs_that_do_not_fit_together(runs, molecule_run, shapes_run, trained):
    first = runs[0].folder
    mass = molecule_run("mass").folder
    with pytest.raises(RunError, match=r"shapes and .*mass cannot be averaged: their tasks differ$"):
        Predictor.from_run(first, mass)
    with pytest.raises(RunError, match=r"cannot be averaged: their outputs differ$"):
        Predictor.from_run(mass, molecule_run("shift").folder)
    with pytest.raises(RunError, match=r"shapes is given twice$"):
        Predictor.from_run(first, runs[1].folder, first)
    with pytest.raises(RunError, match="has no seed 7: there are 0, 1"):
        Predictor.from_run(first, runs[1].folder, seed=7)


def test_the_command_refuses_runs_that_do_not_fit(runs, molecule_run, mistake, workplace):
    message = mistake(runs[0].folder, molecule_run("mass").folder, workplace / "molecules.csv")
    assert message.endswith("cannot be averaged: their tasks differ")
