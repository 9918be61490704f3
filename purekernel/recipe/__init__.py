"""Read recipes, check them against their schema, and join them with the command line."""
