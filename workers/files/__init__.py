"""Files wherever they lie: on a disk of this machine, or at a URI that pyarrow or fsspec opens.

Where a store lies at and which keys open it comes from the environment alone (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`,
`AZURE_STORAGE_ACCOUNT`, `GOOGLE_APPLICATION_CREDENTIALS`, `HF_TOKEN`, …), never from a path: paths are written into
specs, plans, manifests and logs.
"""

from workers.files.entries import FileEntry, list_folder, open_file, stat_file
from workers.files.filesystem import filesystem_of
from workers.files.remote import RemoteFile
from workers.files.retry import StorageUnavailableError, retried
from workers.files.uri import absolute, check_uri, is_uri, is_writable, join_path, scheme_of

__all__ = [
    "FileEntry",
    "RemoteFile",
    "StorageUnavailableError",
    "absolute",
    "check_uri",
    "filesystem_of",
    "is_uri",
    "is_writable",
    "join_path",
    "list_folder",
    "open_file",
    "retried",
    "scheme_of",
    "stat_file",
]
