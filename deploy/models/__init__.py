"""The recipes that build the default models, and their one builder. See README.md beside this file."""
