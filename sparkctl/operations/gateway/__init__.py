"""The gateway: the desk, the door, the agent and the controller put together."""
