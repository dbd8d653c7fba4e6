-- Limits of an app and of one run, and what the component of a version imports.

drop view run_details;
drop view app_details;

-- JSON by name, as in `relume.toml`; null is none.
alter table apps add column limits text;
alter table runs
    -- The app's when the run was started.
    add column app_limits text,
    add column limits     text;
-- A list in JSON; null of a version from before they were kept.
alter table versions add column imports text;

create view app_details as
select a.name, a.active_version, a.max_retries, a.retry_delay_ms, a.exponential, a.description, a.disabled,
    a.pending_timeout_s, a.running_timeout_s, a.revision, a.created_at, a.updated_at, s.cron, s.next_tick_at,
    a.limits
from apps a
left join schedules s on s.schedule_id = (
    select n.schedule_id from schedules n where n.app = a.name and not n.is_paused
    order by n.next_tick_at, n.schedule_id limit 1);

-- A run as a caller sees it: one whose start time has come is `pending`, and how the last attempt ended shows once the
-- run is final, unless it was cancelled. No joins and no volatile function, so that a list of
-- runs is one walk along an index of `runs` that ends with its page.
create view run_details as
select r.run_id, r.app, r.number, r.version,
    case when r.status = 'scheduled' and r.available_at <= extract(epoch from statement_timestamp()) * 1000
        then 'pending' else r.status end as status,
    r.num_attempts, r.max_retries, r.retry_delay_ms, r.exponential, r.created_at,
    coalesce(r.scheduled_at, r.created_at) as scheduled_at, r.starting_at, r.started_at, r.ended_at, r.ended_because,
    r.pending_until, r.running_timeout_s, r.initiator, r.schedule_id,
    (select s.name from schedules s where s.schedule_id = r.schedule_id) as schedule_name,
    (select io.parameters from run_io io where io.run_id = r.run_id) as parameters,
    case when r.status = 'retrying' then r.available_at end as next_attempt_at,
    case when r.status in ('exited', 'crashed', 'errored') then (
        select a.exit_code from attempts a where a.run_id = r.run_id and a.seq = r.num_attempts) end as exit_code,
    case when r.status in ('exited', 'crashed', 'errored') then (
        select a.failure_kind from attempts a where a.run_id = r.run_id and a.seq = r.num_attempts) end as failure_kind,
    case when r.status in ('exited', 'crashed', 'errored') then (
        select a.failure_message from attempts a where a.run_id = r.run_id and a.seq = r.num_attempts)
        end as failure_message,
    case when r.status in ('exited', 'crashed', 'errored') then (
        select a.failure_backtrace from attempts a where a.run_id = r.run_id and a.seq = r.num_attempts)
        end as failure_backtrace,
    r.deadline_at, r.waiting_kind, r.waiting_name, r.waiting_until, r.used_loose_io, r.parent_run_id,
    (select p.app from runs p where p.run_id = r.parent_run_id) as parent_app,
    (select p.number from runs p where p.run_id = r.parent_run_id) as parent_number,
    coalesce(r.origin_run_id, r.run_id) as origin_run_id, coalesce(r.origin_at, r.created_at) as origin_at,
    r.forked_from_run_id, r.forked_from_seq,
    (select f.app from runs f where f.run_id = r.forked_from_run_id) as forked_from_app,
    (select f.number from runs f where f.run_id = r.forked_from_run_id) as forked_from_number,
    r.app_limits, r.limits
from runs r;
