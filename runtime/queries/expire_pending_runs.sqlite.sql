-- Cancels the runs for which no worker came in time. Returns one row per run.
update runs
set status = 'cancelled', ended_at = now_ms(), ended_because = 'pending_timeout', available_at = null,
    pending_until = null, fence = fence + 1
where pending_until <= now_ms()
returning run_id
