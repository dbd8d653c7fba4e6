-- Apps, versions, runs, journal, logs, tokens and workers.
--
-- Moments are milliseconds since the epoch by this database's clock, payloads are bytes, JSON is
-- text. Journal and logs carry no foreign key: they are written only below a locked run.

create function now_ms() returns bigint language sql volatile parallel safe
as $$ select floor(extract(epoch from clock_timestamp()) * 1000)::bigint $$;

create table apps (
    name            text    primary key,
    active_version  integer,
    last_version    integer not null default 0,
    last_run_number bigint  not null default 0,
    max_retries     integer not null default 0,
    retry_delay_ms  bigint  not null default 0,
    exponential     boolean not null default false,
    created_at      bigint  not null,
    constraint active_version_was_uploaded check (active_version between 1 and last_version)
) with (fillfactor = 50);

create table artifacts (
    digest     text   primary key,
    component  bytea  not null,
    created_at bigint not null,
    constraint digest_is_sha256_in_hex check (digest ~ '^[0-9a-f]{64}$')
);
-- A component is compressed badly and read whole.
alter table artifacts alter column component set storage external;

create table versions (
    app        text    not null references apps,
    version    integer not null,
    digest     text    not null references artifacts,
    size_bytes bigint  not null,
    settings   text    not null,
    created_at bigint  not null,
    primary key (app, version)
);

-- The queue and the state of every run, and nothing wide. Claims slow down with dead rows, so
-- rows have room to be updated in place and vacuum comes early.
create table runs (
    run_id         uuid    primary key,
    app            text    not null,
    number         bigint  not null,
    version        integer not null,
    status         text    not null,
    num_attempts   integer not null,
    max_retries    integer not null,
    retry_delay_ms bigint  not null,
    exponential    boolean not null,
    fence          bigint  not null default 0,
    worker_id      uuid,
    available_at   bigint,
    created_at     bigint  not null,
    started_at     bigint,
    ended_at       bigint,
    foreign key (app, version) references versions,
    constraint numbers_are_unique_in_the_app unique (app, number),
    constraint status_is_known check (status in
        ('scheduled', 'pending', 'starting', 'running', 'retrying', 'exited', 'crashed', 'errored', 'cancelled')),
    constraint ended_exactly_when_final check
        ((ended_at is not null) = (status in ('exited', 'crashed', 'errored', 'cancelled'))),
    constraint held_or_waiting_exactly_while_active check
        ((ended_at is null) = (num_nonnulls(worker_id, available_at) = 1)),
    constraint held_only_while_starting_or_running check
        (worker_id is null or status in ('starting', 'running')),
    constraint attempts_count_from_one check (num_attempts >= 1)
) with (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0
);
create index claim_runs_that_waited_longest on runs (available_at, run_id) where available_at is not null;
create index list_held_by_worker on runs (worker_id) where worker_id is not null;
create index list_runs_of_app_newest_first on runs (app, run_id);

create table run_io (
    run_id     uuid  primary key references runs on delete cascade,
    input      bytea not null,
    parameters text  not null,
    output     bytea
);

create table attempts (
    run_id            uuid    not null references runs on delete cascade,
    seq               integer not null,
    status            text    not null,
    started_at        bigint  not null,
    ended_at          bigint,
    exit_code         integer,
    failure_kind      text,
    failure_message   text,
    failure_backtrace text,
    fuel_used         bigint,
    peak_memory_bytes bigint,
    recoveries        integer not null default 0,
    primary key (run_id, seq),
    constraint attempt_ended_unless_running check ((ended_at is null) = (status = 'running')),
    constraint failure_has_kind_and_message check ((failure_kind is null) = (failure_message is null))
) with (fillfactor = 70);

create table journal (
    run_id      uuid    not null,
    seq         integer not null,
    attempt     integer not null,
    name        text    not null,
    occurrence  integer not null,
    -- What the step returned, or its error's message as UTF-8.
    payload     bytea   not null,
    failed      boolean not null,
    took_us     bigint  not null,
    recorded_at bigint  not null,
    primary key (run_id, seq),
    constraint entries_count_from_one check (seq >= 1)
);

create table logs (
    run_id      uuid    not null,
    line_num    bigint  not null,
    attempt     integer not null,
    channel     text    not null,
    content     text    not null,
    reported_at bigint  not null,
    primary key (run_id, line_num),
    constraint channel_is_known check (channel in ('program', 'setup'))
);

create table tokens (
    token_id    text   primary key,
    name        text   not null,
    secret_hash bytea  not null,
    created_at  bigint not null,
    revoked_at  bigint
);

-- One row for each session of a worker. While it lives, one of its connections holds the
-- advisory lock `lock_key`: who can take that lock knows that the worker is dead.
create table workers (
    worker_id  uuid   primary key,
    name       text   not null,
    lock_key   bigint not null,
    started_at bigint not null,
    expires_at bigint not null
) with (fillfactor = 50);

-- A run as a caller sees it: how the last attempt ended shows once the run is final.
create view run_details as
select r.run_id, r.app, r.number, r.version, r.status, r.num_attempts, r.max_retries, r.retry_delay_ms,
    r.exponential, r.created_at, r.started_at, r.ended_at,
    case when r.status = 'retrying' then r.available_at end as next_attempt_at,
    a.exit_code, a.failure_kind, a.failure_message, a.failure_backtrace
from runs r
left join attempts a on a.run_id = r.run_id and a.seq = r.num_attempts and r.ended_at is not null;
