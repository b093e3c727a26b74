"""Prefect's console handler without markup and emoji."""

import logging

from prefect.logging.handlers import PrefectConsoleHandler


class PlainConsoleHandler(PrefectConsoleHandler):
    """Prints messages literally: Rich would turn `train.conll:100: …` into an emoji."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one formatted record."""
        try:
            self.console.print(self.format(record), soft_wrap=True, emoji=False, markup=False)
        except Exception:  # as in logging.StreamHandler: a log message must not end the program
            self.handleError(record)
