"""The memory of a quantizing job at its peak, and the bytes of its product. Pure."""
