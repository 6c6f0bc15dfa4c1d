"""From measurements of a machine to the numbers of its models, with what isn't known of them."""
