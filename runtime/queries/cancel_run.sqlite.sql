-- Cancels the run number $2 of app $1 if it is active: takes it from its worker and ends its open
-- attempt. Returns the run; no row if there is none or it is final.
update attempts set status = 'cancelled', ended_at = now_ms()
where status = 'running'
    and run_id = (select run_id from runs where app = $1 and number = $2 and ended_at is null);

update runs
set status = 'cancelled', ended_at = now_ms(), worker_id = null, available_at = null, fence = fence + 1
where app = $1 and number = $2 and ended_at is null
returning run_id, app, number, version, status, num_attempts, max_retries, retry_delay_ms, exponential, created_at,
    started_at, ended_at
