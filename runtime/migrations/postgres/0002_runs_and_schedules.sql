-- Disabled apps, timeouts, start times, idempotent starts, schedules, secrets, scopes; and no change of a run's status
-- that is not an edge of `run::EDGES`.

alter table apps
    add column description       text    not null default '',
    add column disabled          boolean not null default false,
    add column pending_timeout_s integer,
    add column running_timeout_s integer,
    add column revision          bigint  not null default 1,
    add column updated_at        bigint;
update apps set updated_at = created_at;
alter table apps alter column updated_at set not null;

create table schedules (
    schedule_id  uuid    primary key,
    name         text    not null,
    app          text    not null references apps on delete cascade,
    cron         text    not null,
    timezone     text    not null,
    skips_overlap boolean not null,
    is_paused    boolean not null,
    parameters   text    not null,
    next_tick_at bigint  not null,
    last_tick_at bigint,
    created_at   bigint  not null,
    updated_at   bigint  not null,
    constraint schedule_names_are_unique unique (name)
) with (fillfactor = 70);
create index list_due_schedules on schedules (next_tick_at) where not is_paused;
create index list_schedules_of_app on schedules (app);

alter table runs
    add column scheduled_at      bigint,
    add column starting_at       bigint,
    add column pending_until     bigint,
    add column running_timeout_s integer,
    add column initiator         text,
    add column schedule_id       uuid,
    add column ended_because     text,
    add constraint reason_is_known check (ended_because in ('app_disabled', 'not_retryable', 'pending_timeout')),
    add constraint only_what_ended_has_a_reason check (ended_because is null or ended_at is not null),
    add constraint expires_only_before_the_first_claim check
        (pending_until is null or status in ('scheduled', 'pending'));
create index expire_pending_runs on runs (pending_until) where pending_until is not null;
create index fire_schedule_finds_active_runs on runs (schedule_id) where schedule_id is not null and ended_at is null;
create index delete_app_finds_active_runs on runs (app) where ended_at is null;

create function status_moves_along_an_edge() returns trigger language plpgsql
as $$ begin
    if (old.status, new.status) not in (
        ('scheduled', 'starting'), ('scheduled', 'running'), ('scheduled', 'cancelled'),
        ('pending', 'starting'), ('pending', 'running'), ('pending', 'cancelled'),
        ('starting', 'running'), ('starting', 'retrying'), ('starting', 'errored'), ('starting', 'cancelled'),
        ('running', 'starting'), ('running', 'retrying'), ('running', 'exited'), ('running', 'crashed'),
        ('running', 'errored'), ('running', 'cancelled'),
        ('retrying', 'starting'), ('retrying', 'running'), ('retrying', 'crashed'), ('retrying', 'errored'),
        ('retrying', 'cancelled'))
    then
        raise exception 'a run that is % cannot become %', old.status, new.status;
    end if;
    return new;
end $$;
create trigger status_moves_along_an_edge before update of status on runs
for each row when (old.status <> new.status) execute function status_moves_along_an_edge();

alter table attempts
    add column starting_at bigint,
    alter column started_at drop not null,
    drop constraint attempt_ended_unless_running,
    add constraint attempt_ended_unless_open check ((ended_at is null) = (status in ('starting', 'running')));

-- A key makes any number of starts one. It goes when its run goes.
create table start_keys (
    app          text   not null,
    key          text   not null,
    request_hash bytea  not null,
    run_id       uuid   not null references runs on delete cascade,
    created_at   bigint not null,
    primary key (app, key)
);
create index delete_run_finds_its_key on start_keys (run_id);

create table secrets (
    name       text   primary key,
    -- Encrypted with a key that is not in this database.
    sealed     bytea  not null,
    preview    text   not null,
    created_at bigint not null,
    updated_at bigint not null
);

-- The key pair to which clients encrypt secrets, encrypted as they are.
create table key_pair (
    id         integer primary key default 1,
    sealed     bytea   not null,
    created_at bigint  not null,
    constraint there_is_one check (id = 1)
);

alter table tokens
    add column scopes     text not null default 'admin',
    add column expires_at bigint;

alter table workers add column slots integer not null default 0;

create view app_details as
select a.name, a.active_version, a.max_retries, a.retry_delay_ms, a.exponential, a.description, a.disabled,
    a.pending_timeout_s, a.running_timeout_s, a.revision, a.created_at, a.updated_at, s.cron, s.next_tick_at
from apps a
left join schedules s on s.schedule_id = (
    select n.schedule_id from schedules n where n.app = a.name and not n.is_paused
    order by n.next_tick_at, n.schedule_id limit 1);

-- A run as a caller sees it: one whose start time has come is `pending`, and how the last attempt ended shows once the
-- run is final, unless it was cancelled. No joins and no volatile function, so that a list of
-- runs is one walk along an index of `runs` that ends with its page.
drop view run_details;
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
        end as failure_backtrace
from runs r;
