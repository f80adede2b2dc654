"""Why a recipe's command has the words that it has, and what another release would make of them."""
