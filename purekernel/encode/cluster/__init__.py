"""Run calls on a cluster, through an executor of concurrent.futures."""

from purekernel.encode.cluster.address import Address
from purekernel.encode.cluster.executors import open_executor

__all__ = ["Address", "open_executor"]
