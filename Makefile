PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DATA_ROOT ?= ../shared/data

.PHONY: help demo test lint types suite docs wheel-check compat bench clean

help:
	@echo "make demo    install into .venv, then preprocess and train on the built-in molecules"
	@echo "make test    install into .venv, then run everything that CI runs"
	@echo "make docs    install into .venv, then build the documentation into build/docs"
	@echo "make bench   measure speed and memory beside other libraries (DATA_ROOT=$(DATA_ROOT))"
	@echo "make compat  run the tests with the oldest versions that setup.cfg allows, and with DGL 2.1"
	@echo "make clean   remove what the others made"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: $(BIN)/python setup.cfg constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[chem]"
	@touch $@

$(VENV)/test: $(BIN)/python setup.cfg constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[chem,test,docs]"
	@touch $@

demo: $(VENV)/demo
	$(BIN)/gradformer-dgl preprocess NCI-TPSA --cache-dir demo
	$(BIN)/gradformer-dgl train NCI-TPSA --cache-dir demo --out demo/run --overwrite
	@echo "pictures: demo/run/curve.png demo/run/decay.png"

test: $(VENV)/test lint types suite docs wheel-check

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/test
	$(BIN)/mypy -p gradformer_dgl

suite: $(VENV)/test
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=10
	$(BIN)/python -m pytest -q --doctest-modules gradformer_dgl

docs: $(VENV)/test
	$(BIN)/python -m sphinx -E -q -W --keep-going -b html docs build/docs

wheel-check: $(VENV)/test
	$(BIN)/python tests/wheel_check.py

# Makes environments of its own, in build/compat; gigabytes, for the oldest torch comes with CUDA.
compat: $(BIN)/python
	$(BIN)/python tests/compatibility.py

$(VENV)/bench: $(BIN)/python setup.cfg constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench,chem]"
	@touch $@

bench: $(VENV)/bench
	$(BIN)/python benchmarks/preprocessing.py --data-root $(DATA_ROOT)
	$(BIN)/python benchmarks/threads.py --data-root $(DATA_ROOT)
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/reading.py --data-root $(DATA_ROOT)
	$(BIN)/python benchmarks/training_step.py --data-root $(DATA_ROOT)
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/large_graphs.py

clean:
	rm -rf $(VENV) build dist demo *.egg-info
