-- The code of run $1, held under fence $2 and `starting`, is ready: it is `running`. No row if it was taken away.
update attempts set status = 'running', started_at = coalesce(started_at, now_ms())
where (run_id, seq) = (
    select run_id, num_attempts from runs
    where run_id = $1 and fence = $2 and worker_id is not null and status = 'starting');

update runs
set status = 'running', started_at = coalesce(started_at, (
    select a.started_at from attempts a where a.run_id = runs.run_id and a.seq = runs.num_attempts))
where run_id = $1 and fence = $2 and worker_id is not null and status = 'starting'
returning run_id
