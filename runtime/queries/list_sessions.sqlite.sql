-- All sessions, and whether they expired.
select worker_id, expires_at <= now_ms() as expired from workers
