"""Argument parsers whose mistakes are one line."""

import argparse
from typing import NoReturn

from trainables.config import InvalidInput


class OneLineParser(argparse.ArgumentParser):
    """Raises InvalidInput where argparse would print its usage and leave."""

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(f"{message} (see {self.prog} --help)")
