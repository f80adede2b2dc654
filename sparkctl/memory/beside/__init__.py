"""What flags and variables take in addition to the model: host buffers, adapters, copies; a table of all flags."""
