"""What an operator does with a whole site, above the parts: audit."""
