"""What is known of flags beside their choices: what they do, what hurts with them on a GB10, which defaults changed."""
