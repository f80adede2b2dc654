"""What flags and variables take beside the model: buffers of the host, adapters, copies; and which flag takes what."""
