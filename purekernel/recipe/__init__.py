"""Read what an image is to be: recipes, their schema, and what the command line adds."""
