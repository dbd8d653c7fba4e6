-- Starts run $1 for the tick of schedule $2 at $3, and sets the tick after it to $4. Whoever finds the tick unchanged is
-- the one who starts it. Returns whether a run was started, which it is not if the app is disabled or has no version, or
-- if overlaps are skipped and a run of the schedule is active. No row if another server was first.
-- The app's row is locked before the schedule's, as a deletion of the app does.
with target as materialized (
    select a.name from apps a where a.name = (select app from schedules where schedule_id = $2)
    for update
), tick as materialized (
    select s.schedule_id, s.app, s.parameters,
        s.skips_overlap and exists (
            select 1 from runs r where r.schedule_id = s.schedule_id and r.ended_at is null) as is_skipped
    from schedules s join target t on t.name = s.app
    where s.schedule_id = $2 and s.next_tick_at = $3 and not s.is_paused
    for update of s
), advanced as (
    update schedules s set next_tick_at = $4, last_tick_at = $3 from tick t where s.schedule_id = t.schedule_id
), numbered as (
    update apps a set last_run_number = a.last_run_number + 1
    from tick t
    where not t.is_skipped and a.name = t.app and not a.disabled and a.active_version is not null
    returning a.*, now_ms() as now
), run as (
    insert into runs (run_id, app, number, version, status, num_attempts, max_retries, retry_delay_ms, exponential,
        available_at, created_at, scheduled_at, pending_until, running_timeout_s, schedule_id,
        app_limits)
    select $1, name, last_run_number, active_version, 'pending', 1, max_retries, retry_delay_ms, exponential, now, now, $3,
        now + pending_timeout_s * 1000::bigint, running_timeout_s, $2, limits
    from numbered
    returning run_id
), io as (
    insert into run_io (run_id, input, parameters) select r.run_id, '', t.parameters from run r, tick t
)
select exists (select 1 from run) as is_started from tick
