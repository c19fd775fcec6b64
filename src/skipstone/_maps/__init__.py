"""Maps: many calls as one, from items to results."""
