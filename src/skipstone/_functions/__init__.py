"""What is known of a function and its calls: names, ids, keys and code."""
