"""Which file names a folder scan takes for media."""

# fmt: off
AUDIO_EXTENSIONS = frozenset(
    {
        ".3ga", ".aac", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".caf", ".flac", ".m4a", ".m4b",
        ".mka", ".mp2", ".mp3", ".mpc", ".oga", ".ogg", ".opus", ".rf64", ".snd", ".spx", ".tta", ".w64",
        ".wav", ".wave", ".weba", ".wma", ".wv",
    }
)
"""Audio files, lower case with the dot. A file named in a manifest or a list may have any name: contents decide."""

VIDEO_EXTENSIONS = frozenset(
    {
        ".3g2", ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg",
        ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
    }
)
"""Video files, lower case with the dot; their first audio stream is what `probe_audio` and `decode_spans` read."""
