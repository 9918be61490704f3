"""The loader's cache, ``/etc/ld.so.cache``, as glibc's ldconfig writes it."""

from purekernel.formats.ld_cache.layout import (
    CacheEntry,
    CacheFormat,
    LdCache,
    compare_library_names,
    library_name_key,
)
from purekernel.formats.ld_cache.listing import list_ld_cache
from purekernel.formats.ld_cache.reader import parse_ld_cache
from purekernel.formats.ld_cache.writer import build_ld_cache, sort_entries

__all__ = [
    "CacheEntry",
    "CacheFormat",
    "LdCache",
    "build_ld_cache",
    "compare_library_names",
    "library_name_key",
    "list_ld_cache",
    "parse_ld_cache",
    "sort_entries",
]
