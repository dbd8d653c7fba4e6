-- How many runs are due and wait for a worker, and since when the one that has waited longest.
select count(*) as due, min(available_at) as oldest_due_at from runs where available_at <= now_ms()
