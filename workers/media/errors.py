"""What a media file that cannot be used says about itself."""


class MediaError(ValueError):
    """The file cannot give what was asked.

    `str(error)` is one line that a person can act on; it becomes the reason in the quarantine table, next to the path,
    so it does not repeat the path.
    """


class UnavailableFileError(MediaError):
    """The file is not there, or does not open: as when a disk is not mounted, which may pass."""
