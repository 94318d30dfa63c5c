"""``python -m tokenarium.backend.pretraining.draft_head``: this recipe alone."""

import argparse

from tokenarium.backend.pretraining.draft_head.command import add

if __name__ == "__main__":
    _parser = argparse.ArgumentParser(prog="draft-head", description=__doc__)
    add(_parser)
    _arguments = _parser.parse_args()
    _arguments.command(_arguments)
