-- Starts run $1 of app $2, of version $3 or, if that is null, the active one, with input $4 and parameters $5, under
-- the policy $6, $7, $8 (retries, delay, backoff) or the app's where null, with the timeouts $9 (pending) and $10
-- (running) in seconds or the app's, at the moment $11 or now, asked for by $12. With key $13, of a request of hash
-- $14, it starts only if no run was started with that key. Its deadline is $15. As a child of run $16, held under fence
-- $17, it starts only if that run was not taken away, and has its deadline if that is earlier. It has the limits
-- $18 and the app's. Returns the run; no row
-- if the key was used, if the app or the version does not exist, if the app is disabled, or if the parent was taken
-- away. The app's row is locked until the commit, which is what makes the numbers gapless and keys unique. It is locked
-- before the parent's, as a deletion of the app locks it before its runs.
with target as materialized (
    select a.name, v.version, now_ms() as now
    from apps a join versions v on v.app = a.name and v.version = coalesce($3, a.active_version)
    where a.name = $2 and not a.disabled
    for update of a
), parent as materialized (
    select run_id, deadline_at from runs
    where run_id = $16 and fence = $17 and num_nonnulls(worker_id) = 1 and exists (select 1 from target)
    for share
), allowed as materialized (
    select t.*, least($15, p.deadline_at) as deadline_at
    from target t left join parent p on true
    where $16::uuid is null or p.run_id is not null
), keyed as (
    insert into start_keys (app, key, request_hash, run_id, created_at)
    select name, $13, $14, $1, now from allowed where $13 is not null
    on conflict do nothing
    returning run_id
), numbered as (
    update apps a set last_run_number = a.last_run_number + 1
    from allowed t
    where a.name = t.name and ($13 is null or exists (select 1 from keyed))
    returning a.name, a.last_run_number, t.version, t.now, coalesce($6, a.max_retries) as max_retries,
        coalesce($7, a.retry_delay_ms) as retry_delay_ms, coalesce($8, a.exponential) as exponential,
        coalesce($9, a.pending_timeout_s) as pending_timeout_s, coalesce($10, a.running_timeout_s) as running_timeout_s,
        greatest($11, t.now) as due, t.deadline_at, a.limits as app_limits
), run as (
    insert into runs (run_id, app, number, version, status, num_attempts, max_retries, retry_delay_ms, exponential,
        available_at, created_at, scheduled_at, pending_until, running_timeout_s, initiator, deadline_at,
        parent_run_id, app_limits, limits)
    select $1, name, last_run_number, version, case when due > now then 'scheduled' else 'pending' end, 1, max_retries,
        retry_delay_ms, exponential, due, now, $11, due + pending_timeout_s * 1000::bigint, running_timeout_s, $12,
        deadline_at, $16, app_limits, $18
    from numbered
    returning run_id, app, number, version, status, num_attempts, max_retries, retry_delay_ms, exponential, created_at,
        coalesce(scheduled_at, created_at) as scheduled_at, starting_at, started_at, ended_at, ended_because,
        pending_until, running_timeout_s, initiator, schedule_id, deadline_at, app_limits, limits, $5 as parameters,
        run_id as origin_run_id, created_at as origin_at
), io as (
    insert into run_io (run_id, input, parameters) select run_id, $4, $5 from run
)
select * from run
