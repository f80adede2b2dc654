"""Commands about recipes, mods and models on the disk."""
