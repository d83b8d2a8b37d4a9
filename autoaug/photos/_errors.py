"""The error of data that cannot be used. It stands apart, so that processes that decode images need no torch."""


class DataError(ValueError):
    """An error of data that cannot be used. The message names what, where and what to do."""
