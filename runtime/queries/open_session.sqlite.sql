-- Opens the session $1 of the worker named $2 for $3 milliseconds, with $4 slots. The worker holds its file's
-- lock already: there is no moment at which it looks dead.
insert into workers (worker_id, name, slots, started_at, expires_at)
values ($1, $2, $4, now_ms(), now_ms() + $3)
returning worker_id
