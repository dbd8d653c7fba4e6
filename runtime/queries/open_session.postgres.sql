-- Opens the session $1 of the worker named $2 for $3 milliseconds, with $4 slots. The connection holds the
-- advisory lock $5 already: there is no moment at which the worker looks dead.
insert into workers (worker_id, name, slots, lock_key, started_at, expires_at)
values ($1, $2, $4, $5, now_ms(), now_ms() + $3)
returning worker_id
