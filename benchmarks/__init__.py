"""Speed, memory and size, always beside a peer in the same run, as ratios."""
