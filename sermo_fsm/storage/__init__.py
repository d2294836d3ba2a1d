"""How is it kept? Tables, rows, locks, transactions, and the databases that differ in them."""
