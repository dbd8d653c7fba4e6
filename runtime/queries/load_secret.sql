-- What secret $1 holds, encrypted: one row, or none.
select sealed from secrets where name = $1
