"""Prefect's console handler, without its taste for emoji."""

import logging

from prefect.logging.handlers import PrefectConsoleHandler


class PlainConsoleHandler(PrefectConsoleHandler):
    """Prints messages as they are: Rich would make `train.conll:100: …` a hundred-points sign."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one formatted record."""
        try:
            self.console.print(self.format(record), soft_wrap=True, emoji=False, markup=False)
        except Exception:  # as in logging.StreamHandler: a log line must not end the program
            self.handleError(record)
