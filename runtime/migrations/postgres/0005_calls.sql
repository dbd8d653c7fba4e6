-- What runs asked of other hosts.

create table calls (
    run_id      uuid    not null references runs on delete cascade,
    call_num    bigint  not null,
    attempt     integer not null,
    -- The journal entry of the step that made it.
    seq         integer,
    method      text    not null,
    -- Without its query, in which there may be a key.
    url         text    not null,
    -- Null if there was no answer.
    status      integer,
    -- Why it was refused, came to nothing, or broke off.
    error       text,
    bytes_in    bigint  not null,
    bytes_out   bigint  not null,
    took_ms     bigint  not null,
    recorded_at bigint  not null,
    primary key (run_id, call_num),
    constraint a_call_was_answered_or_says_why_not check (status is not null or error is not null)
);
