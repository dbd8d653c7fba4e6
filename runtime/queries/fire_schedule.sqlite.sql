-- Starts run $1 for the tick of schedule $2 at $3, and sets the tick after it to $4. Whoever finds the tick unchanged is
-- the one who starts it. Returns whether a run was started, which it is not if the app is disabled or has no version, or
-- if overlaps are skipped and a run of the schedule is active. No row if another server was first.
insert into runs (run_id, app, number, version, status, num_attempts, max_retries, retry_delay_ms, exponential,
    available_at, created_at, scheduled_at, pending_until, running_timeout_s, schedule_id,
    app_limits)
select $1, a.name, a.last_run_number + 1, a.active_version, 'pending', 1, a.max_retries, a.retry_delay_ms, a.exponential,
    n.now, n.now, $3, n.now + a.pending_timeout_s * 1000, a.running_timeout_s, s.schedule_id, a.limits
from schedules s join apps a on a.name = s.app join (select now_ms() as now) n
where s.schedule_id = $2 and s.next_tick_at = $3 and not s.is_paused and not a.disabled and a.active_version is not null
    and not (s.skips_overlap and exists (
        select 1 from runs r where r.schedule_id = s.schedule_id and r.ended_at is null));

update apps set last_run_number = last_run_number + 1 where name = (select app from runs where run_id = $1);

insert into run_io (run_id, input, parameters)
select r.run_id, x'', s.parameters from runs r join schedules s on s.schedule_id = r.schedule_id where r.run_id = $1;

update schedules set next_tick_at = $4, last_tick_at = $3
where schedule_id = $2 and next_tick_at = $3 and not is_paused
returning exists (select 1 from runs where run_id = $1) as is_started
