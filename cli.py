"""Run the `gradformer-dgl` command from a checkout: `python cli.py train MUTAG`."""

from gradformer_dgl.cli import main

main()
