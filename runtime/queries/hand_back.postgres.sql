-- Hands back run $1, held under fence $2: it waits for a worker at once, and its attempt does not count as interrupted.
-- If it was claimed to go on after an interruption, $3, it still waits for that, and the interruption counts once. No
-- row if it was taken away.
with handed as (
    update runs set worker_id = null, fence = fence + 1, available_at = now_ms(), is_recovery = $3
    where run_id = $1 and fence = $2 and worker_id is not null
    returning run_id, num_attempts
), counted as (
    update attempts a set recoveries = a.recoveries - 1
    from handed h where $3 and a.run_id = h.run_id and a.seq = h.num_attempts
)
select run_id from handed
