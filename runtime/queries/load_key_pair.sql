-- The encrypted key pair: one row, or none.
select sealed from key_pair
