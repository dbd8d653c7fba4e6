-- Steps that are tried again, waits that hold no worker, events, child runs, and runs that are retried or forked.

-- When what waits for ever is due: far enough, and a moment that every program can read.
create function far_ms() returns bigint language sql immutable parallel safe
as $$ select 253370764800000 $$;

drop view run_details;

alter table runs
    add column deadline_at        bigint,
    -- What a parked run waits for, and until when: null is for ever.
    add column waiting_kind       text,
    add column waiting_name       text,
    add column waiting_until      bigint,
    add column waiting_run_id     uuid,
    -- Rises whenever the run is told something.
    add column signals            bigint  not null default 0,
    -- How often in a row the run's worker was lost while its journal ended with `lost_at_seq`.
    add column losses             integer not null default 0,
    add column lost_at_seq        integer not null default 0,
    -- The next claim goes on with an attempt that was interrupted.
    add column is_recovery        boolean not null default false,
    -- No foreign key: the parent may be deleted with its app.
    add column parent_run_id      uuid,
    add column forked_from_run_id uuid,
    add column forked_from_seq    integer,
    -- Of a fork: the run in which its journal began, and when that was asked for. Its clock and its random numbers
    -- follow from these, or the entries that it took over would not fit.
    add column origin_run_id      uuid,
    add column origin_at          bigint,
    add column used_loose_io      boolean not null default false,
    drop constraint reason_is_known,
    add constraint reason_is_known check
        (ended_because in ('app_disabled', 'not_retryable', 'pending_timeout', 'deadline', 'step_limit')),
    add constraint wait_is_known check (waiting_kind in ('step_retry', 'sleep', 'event', 'child')),
    add constraint waits_by_name check ((waiting_kind is null) = (waiting_name is null)),
    add constraint waits_only_while_parked check
        (waiting_kind is null or (status = 'running' and worker_id is null)),
    add constraint waits_for_a_run_only_if_it_is_a_child check (waiting_run_id is null or waiting_kind = 'child'),
    add constraint forked_at_an_entry check ((forked_from_run_id is null) = (forked_from_seq is null)),
    add constraint a_fork_has_an_origin check
        ((forked_from_run_id is null) = (origin_run_id is null) and (origin_run_id is null) = (origin_at is null));
update runs set is_recovery = true where status in ('starting', 'running') and worker_id is null;
create index cancel_orphans_finds_active_children on runs (parent_run_id)
    where parent_run_id is not null and ended_at is null;
create index wake_parents_finds_parked_parents on runs (waiting_run_id) where waiting_run_id is not null;

create or replace function status_moves_along_an_edge() returns trigger language plpgsql
as $$ begin
    if (old.status, new.status) not in (
        ('scheduled', 'starting'), ('scheduled', 'running'), ('scheduled', 'cancelled'),
        ('pending', 'starting'), ('pending', 'running'), ('pending', 'cancelled'),
        ('starting', 'running'), ('starting', 'retrying'), ('starting', 'errored'), ('starting', 'cancelled'),
        ('running', 'starting'), ('running', 'retrying'), ('running', 'exited'), ('running', 'crashed'),
        ('running', 'errored'), ('running', 'cancelled'),
        ('retrying', 'starting'), ('retrying', 'running'), ('retrying', 'crashed'), ('retrying', 'errored'),
        ('retrying', 'cancelled'),
        ('crashed', 'retrying'), ('errored', 'retrying'))
    then
        raise exception 'a run that is % cannot become %', old.status, new.status;
    end if;
    return new;
end $$;

alter table attempts
    add column bytes_in  bigint,
    add column bytes_out bigint;

alter table journal
    add column kind              text    not null default 'step',
    add column version           integer,
    add column request           bytea   not null default '',
    add column state             text,
    add column tries             integer not null default 1,
    add column tries_before      integer not null default 0,
    -- How many seeds the step's hash maps were given: a replay gives out as many.
    add column seeds             bigint  not null default 0,
    add column due_at            bigint,
    add column fuel              bigint  not null default 0,
    add column peak_memory_bytes bigint  not null default 0,
    add column bytes_in          bigint  not null default 0,
    add column bytes_out         bigint  not null default 0;
update journal
set state = case when failed then 'failed' else 'finished' end,
    version = coalesce((select r.version from runs r where r.run_id = journal.run_id), 1);
-- `payload` is what the call returned, or an error's message as UTF-8; empty before the first of them.
alter table journal
    drop column failed,
    alter column kind drop default,
    alter column tries drop default,
    alter column version set not null,
    alter column state set not null,
    add constraint entry_is_of_a_known_kind check (kind in ('step', 'sleep', 'now', 'event', 'child', 'result')),
    add constraint entry_state_is_known check
        (state in ('begun', 'again', 'waiting', 'finished', 'failed', 'indeterminate')),
    add constraint due_only_where_there_is_a_wait check
        (due_at is null or state in ('again', 'waiting') or kind = 'sleep'),
    add constraint tries_are_counted check (tries >= 0 and tries_before >= 0);

-- What runs are told. An event is delivered to one entry of the run's journal.
create table events (
    event_id      uuid    primary key,
    run_id        uuid    not null references runs on delete cascade,
    name          text    not null,
    payload       bytea   not null,
    key           text,
    sent_at       bigint  not null,
    delivered_seq integer,
    constraint a_key_sends_one_event unique (run_id, key)
);
create index take_event_finds_the_first on events (run_id, name, sent_at, event_id) where delivered_seq is null;
create index list_events_of_run on events (run_id, sent_at, event_id);

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
    (select f.number from runs f where f.run_id = r.forked_from_run_id) as forked_from_number
from runs r;
