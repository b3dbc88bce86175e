"""What goes wrong with a source."""


class SourceError(ValueError):
    """The source as a whole cannot be read; single files that cannot are quarantined instead."""
