-- Ends the sessions that expired, and those whose advisory lock can be taken: their process or
-- its connection is dead. Returns one row per session.
delete from workers where expires_at <= now_ms() or pg_try_advisory_xact_lock(lock_key) returning worker_id
