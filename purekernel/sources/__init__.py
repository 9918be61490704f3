"""The outside world turned into verified bytes and layers."""
