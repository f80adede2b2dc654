"""The commands that say why a command has its words, and what another release makes of them."""
