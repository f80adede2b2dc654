"""Parts of the Python API, by what they are about; ``operations.spark`` puts them together."""
