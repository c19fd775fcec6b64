"""Many calls as one: from items to results."""
