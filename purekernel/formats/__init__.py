"""Bytes to trees and trees to bytes; no clock, no network, no environment."""
