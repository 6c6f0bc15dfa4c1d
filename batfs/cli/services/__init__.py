"""What the commands of ``batfs service`` do: the processes that stay, and those that ask them."""
