"""Source → items: what a job reads, one row each, before anything is opened."""

from pipeline.source.errors import SourceError
from pipeline.source.listing import Listing, list_source

__all__ = ["Listing", "SourceError", "list_source"]
