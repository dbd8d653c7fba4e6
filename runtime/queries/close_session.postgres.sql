-- Ends the session $1 and gives back the runs it holds. Returns one row per run.
with ended as (
    delete from workers where worker_id = $1
), held as materialized (
    select run_id from runs where worker_id = $1 order by run_id for update
)
update runs r set worker_id = null, fence = fence + 1, available_at = now_ms(), is_recovery = true
from held where r.run_id = held.run_id
returning r.run_id
