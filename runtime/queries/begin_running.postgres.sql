-- The code of run $1, held under fence $2 and `starting`, is ready: it is `running`. No row if it was taken away.
with ready as materialized (
    select run_id, num_attempts from runs
    where run_id = $1 and fence = $2 and worker_id is not null and status = 'starting'
    for update
), moment as materialized (
    select now_ms() as now from ready
), began as (
    update attempts a set status = 'running', started_at = coalesce(a.started_at, now)
    from ready, moment where a.run_id = $1 and a.seq = ready.num_attempts
)
update runs r set status = 'running', started_at = coalesce(r.started_at, now)
from ready, moment where r.run_id = $1
returning r.run_id
