"""Results of aggregates on their way out: `parts` says what a row is, and what takes rows; `rows` makes them."""
