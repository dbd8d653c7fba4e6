-- Starts run $1 of app $2, of version $3 or, if that is null, the active one, with input $4 and parameters $5, under
-- the policy $6, $7, $8 (retries, delay, backoff) or the app's where null, with the timeouts $9 (pending) and $10
-- (running) in seconds or the app's, at the moment $11 or now, asked for by $12. With key $13, of a request of hash
-- $14, it starts only if no run was started with that key. Its deadline is $15. As a child of run $16, held under fence
-- $17, it starts only if that run was not taken away, and has its deadline if that is earlier. It has the limits
-- $18 and the app's. Returns the run; no row
-- if the key was used, if the app or the version does not exist, if the app is disabled, or if the parent was taken
-- away.
insert into runs (run_id, app, number, version, status, num_attempts, max_retries, retry_delay_ms, exponential,
    available_at, created_at, scheduled_at, pending_until, running_timeout_s, initiator, deadline_at, parent_run_id,
    app_limits, limits)
select $1, a.name, a.last_run_number + 1, v.version, iif(coalesce($11, 0) > n.now, 'scheduled', 'pending'), 1,
    coalesce($6, a.max_retries), coalesce($7, a.retry_delay_ms), coalesce($8, a.exponential),
    max(coalesce($11, 0), n.now), n.now, $11,
    max(coalesce($11, 0), n.now) + coalesce($9, a.pending_timeout_s) * 1000, coalesce($10, a.running_timeout_s), $12,
    min(coalesce($15, p.deadline_at), coalesce(p.deadline_at, $15)), $16, a.limits, $18
from apps a
join versions v on v.app = a.name and v.version = coalesce($3, a.active_version)
join (select now_ms() as now) n
left join runs p on p.run_id = $16 and p.fence = $17 and p.worker_id is not null
where a.name = $2 and not a.disabled and ($16 is null or p.run_id is not null)
    and ($13 is null or not exists (select 1 from start_keys k where k.app = $2 and k.key = $13));

insert into start_keys (app, key, request_hash, run_id, created_at)
select app, $13, $14, run_id, created_at from runs where run_id = $1 and $13 is not null;

update apps set last_run_number = last_run_number + 1 where name = (select app from runs where run_id = $1);

insert into run_io (run_id, input, parameters) select run_id, $4, $5 from runs where run_id = $1;

select * from run_details where run_id = $1
