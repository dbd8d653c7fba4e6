-- Steps that are tried again, waits that hold no worker, events, child runs, and runs that are retried or forked.

drop view run_details;

alter table runs add column deadline_at integer;
-- What a parked run waits for, and until when: null is for ever.
alter table runs add column waiting_kind text
    constraint wait_is_known check (waiting_kind in ('step_retry', 'sleep', 'event', 'child'))
    constraint waits_only_while_parked check
        (waiting_kind is null or (status = 'running' and worker_id is null));
alter table runs add column waiting_name text
    constraint waits_by_name check ((waiting_kind is null) = (waiting_name is null));
alter table runs add column waiting_until integer;
alter table runs add column waiting_run_id blob
    constraint waits_for_a_run_only_if_it_is_a_child check (waiting_run_id is null or waiting_kind = 'child');
-- Rises whenever the run is told something.
alter table runs add column signals integer not null default 0;
-- How often in a row the run's worker was lost while its journal ended with `lost_at_seq`.
alter table runs add column losses integer not null default 0;
alter table runs add column lost_at_seq integer not null default 0;
-- The next claim goes on with an attempt that was interrupted.
alter table runs add column is_recovery integer not null default 0;
-- No foreign key: the parent may be deleted with its app.
alter table runs add column parent_run_id blob;
alter table runs add column forked_from_run_id blob;
alter table runs add column forked_from_seq integer
    constraint forked_at_an_entry check ((forked_from_run_id is null) = (forked_from_seq is null));
-- Of a fork: the run in which its journal began, and when that was asked for. Its clock and its random numbers
-- follow from these, or the entries that it took over would not fit.
alter table runs add column origin_run_id blob;
alter table runs add column origin_at integer constraint a_fork_has_an_origin check
    ((forked_from_run_id is null) = (origin_run_id is null) and (origin_run_id is null) = (origin_at is null));
alter table runs add column used_loose_io integer not null default 0;
update runs set is_recovery = true where status in ('starting', 'running') and worker_id is null;
create index cancel_orphans_finds_active_children on runs (parent_run_id)
    where parent_run_id is not null and ended_at is null;
create index wake_parents_finds_parked_parents on runs (waiting_run_id) where waiting_run_id is not null;

-- SQLite drops no constraint but with its column.
alter table runs add column kept_reason text;
update runs set kept_reason = ended_because where ended_because is not null;
alter table runs drop column ended_because;
alter table runs add column ended_because text
    constraint reason_is_known check
        (ended_because in ('app_disabled', 'not_retryable', 'pending_timeout', 'deadline', 'step_limit'))
    constraint only_what_ended_has_a_reason check (ended_because is null or ended_at is not null);
update runs set ended_because = kept_reason where kept_reason is not null;
alter table runs drop column kept_reason;

drop trigger status_moves_along_an_edge;
create trigger status_moves_along_an_edge before update of status on runs
when old.status <> new.status and (old.status, new.status) not in (values
    ('scheduled', 'starting'), ('scheduled', 'running'), ('scheduled', 'cancelled'),
    ('pending', 'starting'), ('pending', 'running'), ('pending', 'cancelled'),
    ('starting', 'running'), ('starting', 'retrying'), ('starting', 'errored'), ('starting', 'cancelled'),
    ('running', 'starting'), ('running', 'retrying'), ('running', 'exited'), ('running', 'crashed'),
    ('running', 'errored'), ('running', 'cancelled'),
    ('retrying', 'starting'), ('retrying', 'running'), ('retrying', 'crashed'), ('retrying', 'errored'),
    ('retrying', 'cancelled'),
    ('crashed', 'retrying'), ('errored', 'retrying'))
begin
    select raise(abort, 'a run cannot take this status now');
end;

alter table attempts add column bytes_in integer;
alter table attempts add column bytes_out integer;

-- SQLite drops no constraint, so the table is made anew.
alter table journal rename to old_journal;
create table journal (
    run_id            blob    not null,
    seq               integer not null,
    attempt           integer not null,
    version           integer not null,
    kind              text    not null,
    name              text    not null,
    occurrence        integer not null,
    request           blob    not null default x'',
    state             text    not null,
    -- What the call returned, or an error's message as UTF-8; empty before the first of them.
    payload           blob    not null,
    tries             integer not null,
    tries_before      integer not null default 0,
    -- How many seeds the step's hash maps were given: a replay gives out as many.
    seeds             integer not null default 0,
    due_at            integer,
    took_us           integer not null,
    fuel              integer not null default 0,
    peak_memory_bytes integer not null default 0,
    bytes_in          integer not null default 0,
    bytes_out         integer not null default 0,
    recorded_at       integer not null,
    primary key (run_id, seq),
    constraint entries_count_from_one check (seq >= 1),
    constraint entry_is_of_a_known_kind check (kind in ('step', 'sleep', 'now', 'event', 'child', 'result')),
    constraint entry_state_is_known check
        (state in ('begun', 'again', 'waiting', 'finished', 'failed', 'indeterminate')),
    constraint due_only_where_there_is_a_wait check
        (due_at is null or state in ('again', 'waiting') or kind = 'sleep'),
    constraint tries_are_counted check (tries >= 0 and tries_before >= 0)
) strict;
insert into journal (run_id, seq, attempt, version, kind, name, occurrence, state, payload, tries, took_us, recorded_at)
select run_id, seq, attempt, coalesce((select r.version from runs r where r.run_id = old_journal.run_id), 1), 'step', name,
    occurrence, iif(failed, 'failed', 'finished'), payload, 1, took_us, recorded_at
from old_journal;
drop table old_journal;

-- What runs are told. An event is delivered to one entry of the run's journal.
create table events (
    event_id      blob    primary key,
    run_id        blob    not null references runs on delete cascade,
    name          text    not null,
    payload       blob    not null,
    key           text,
    sent_at       integer not null,
    delivered_seq integer,
    constraint a_key_sends_one_event unique (run_id, key)
) strict;
create index take_event_finds_the_first on events (run_id, name, sent_at, event_id) where delivered_seq is null;
create index list_events_of_run on events (run_id, sent_at, event_id);

-- A run as a caller sees it: one whose start time has come is `pending`, and how the last attempt ended shows once the
-- run is final, unless it was cancelled. No joins, so that a list of runs is one walk
-- along an index of `runs` that ends with its page.
create view run_details as
select r.run_id, r.app, r.number, r.version,
    case when r.status = 'scheduled' and r.available_at <= cast(round(unixepoch('subsec') * 1000) as integer)
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
