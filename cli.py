"""Run the `gradformer-dgl` command from a checkout: `python cli.py train MUTAG`."""

from gradformer_dgl.__main__ import main

main()
