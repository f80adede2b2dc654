"""What an engine takes beside weights and cache: its items by cause, and the figures by kind of GPU."""
