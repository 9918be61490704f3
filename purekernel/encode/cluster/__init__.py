"""Clusters: calls made on other machines, through the executor that Python itself describes."""

from purekernel.encode.cluster.address import Address
from purekernel.encode.cluster.executors import open_executor

__all__ = ["Address", "open_executor"]
