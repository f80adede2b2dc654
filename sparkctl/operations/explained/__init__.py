"""Why a service's command has its words, and what another release of vLLM changes for it."""
