"""Read and write the loader's cache, ``/etc/ld.so.cache``, as glibc's ldconfig does."""

from purekernel.formats.ld_cache.layout import (
    CacheFormat,
    LdCache,
    LdCacheEntry,
    compare_library_names,
    library_name_key,
)
from purekernel.formats.ld_cache.reader import list_ld_cache, parse_ld_cache
from purekernel.formats.ld_cache.writer import build_ld_cache, sort_entries

__all__ = [
    "CacheFormat",
    "LdCache",
    "LdCacheEntry",
    "build_ld_cache",
    "compare_library_names",
    "library_name_key",
    "list_ld_cache",
    "parse_ld_cache",
    "sort_entries",
]
