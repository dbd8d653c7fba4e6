-- Opens the session $1 of the worker named $2 for $3 milliseconds. The connection holds the
-- advisory lock $4 already: there is no moment at which the worker looks dead.
insert into workers (worker_id, name, lock_key, started_at, expires_at)
values ($1, $2, $4, now_ms(), now_ms() + $3)
returning worker_id
