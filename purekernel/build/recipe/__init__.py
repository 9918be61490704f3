"""Recipes: what a user says an image is to be made of."""
