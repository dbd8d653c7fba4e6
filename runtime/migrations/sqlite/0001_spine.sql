-- Apps, versions, runs, journal, logs, tokens and workers.
--
-- Moments are milliseconds since the epoch by this database's clock, payloads are bytes, JSON is
-- text. Journal and logs carry no foreign key: they are written only below a locked run.

create table apps (
    name            text    primary key,
    active_version  integer,
    last_version    integer not null default 0,
    last_run_number integer not null default 0,
    max_retries     integer not null default 0,
    retry_delay_ms  integer not null default 0,
    exponential     integer not null default 0,
    created_at      integer not null,
    constraint active_version_was_uploaded check (active_version between 1 and last_version)
) strict;

create table artifacts (
    digest     text    primary key,
    component  blob not null,
    created_at integer not null,
    constraint digest_is_sha256_in_hex check (length(digest) = 64 and digest not glob '*[^0-9a-f]*')
) strict;

create table versions (
    app        text    not null references apps,
    version    integer not null,
    digest     text    not null references artifacts,
    size_bytes integer not null,
    settings   text    not null,
    created_at integer not null,
    primary key (app, version)
) strict;

-- The queue and the state of every run, and nothing wide.
create table runs (
    run_id         blob primary key,
    app            text    not null,
    number         integer not null,
    version        integer not null,
    status         text    not null,
    num_attempts   integer not null,
    max_retries    integer not null,
    retry_delay_ms integer not null,
    exponential    integer not null,
    fence          integer not null default 0,
    worker_id      blob,
    available_at   integer,
    created_at     integer not null,
    started_at     integer,
    ended_at       integer,
    foreign key (app, version) references versions,
    constraint numbers_are_unique_in_the_app unique (app, number),
    constraint status_is_known check (status in
        ('scheduled', 'pending', 'starting', 'running', 'retrying', 'exited', 'crashed', 'errored', 'cancelled')),
    constraint ended_exactly_when_final check
        ((ended_at is not null) = (status in ('exited', 'crashed', 'errored', 'cancelled'))),
    constraint held_or_waiting_exactly_while_active check
        ((ended_at is null) = ((worker_id is null) <> (available_at is null))),
    constraint held_only_while_starting_or_running check
        (worker_id is null or status in ('starting', 'running')),
    constraint attempts_count_from_one check (num_attempts >= 1)
) strict;
create index claim_runs_that_waited_longest on runs (available_at, run_id) where available_at is not null;
create index list_held_by_worker on runs (worker_id) where worker_id is not null;
create index list_runs_of_app_newest_first on runs (app, run_id);

create table run_io (
    run_id     blob primary key references runs on delete cascade,
    input      blob not null,
    parameters text  not null,
    output     blob
) strict;

create table attempts (
    run_id            blob not null references runs on delete cascade,
    seq               integer not null,
    status            text    not null,
    started_at        integer not null,
    ended_at          integer,
    exit_code         integer,
    failure_kind      text,
    failure_message   text,
    failure_backtrace text,
    fuel_used         integer,
    peak_memory_bytes integer,
    recoveries        integer not null default 0,
    primary key (run_id, seq),
    constraint attempt_ended_unless_running check ((ended_at is null) = (status = 'running')),
    constraint failure_has_kind_and_message check ((failure_kind is null) = (failure_message is null))
) strict;

create table journal (
    run_id      blob not null,
    seq         integer not null,
    attempt     integer not null,
    name        text    not null,
    occurrence  integer not null,
    -- What the step returned, or its error's message as UTF-8.
    payload     blob not null,
    failed      integer not null,
    took_us     integer not null,
    recorded_at integer not null,
    primary key (run_id, seq),
    constraint entries_count_from_one check (seq >= 1)
) strict;

create table logs (
    run_id      blob not null,
    line_num    integer not null,
    attempt     integer not null,
    channel     text    not null,
    content     text    not null,
    reported_at integer not null,
    primary key (run_id, line_num),
    constraint channel_is_known check (channel in ('program', 'setup'))
) strict;

create table tokens (
    token_id    text    primary key,
    name        text   not null,
    secret_hash blob not null,
    created_at  integer not null,
    revoked_at  integer
) strict;

-- One row for each session of a worker. While it lives, it holds the lock on the file
-- `<worker_id>.lock` beside the database: who can take that lock knows that the worker is dead.
create table workers (
    worker_id  blob primary key,
    name       text   not null,
    started_at integer not null,
    expires_at integer not null
) strict;

-- A run as a caller sees it: how the last attempt ended shows once the run is final.
create view run_details as
select r.run_id, r.app, r.number, r.version, r.status, r.num_attempts, r.max_retries, r.retry_delay_ms,
    r.exponential, r.created_at, r.started_at, r.ended_at,
    case when r.status = 'retrying' then r.available_at end as next_attempt_at,
    a.exit_code, a.failure_kind, a.failure_message, a.failure_backtrace
from runs r
left join attempts a on a.run_id = r.run_id and a.seq = r.num_attempts and r.ended_at is not null;
