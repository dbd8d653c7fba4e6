-- Deletes secret $1. Returns what it was; no row if there is none.
delete from secrets where name = $1 returning name, preview, created_at, updated_at
