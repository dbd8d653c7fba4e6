-- Writes the journal entries that the arrays spell out column by column: run $1, fence $2, seq $3, attempt $4, version
-- $5, kind $6, name $7, occurrence $8, request $9, state $10, payload $11, tries $12, tries before $13, due $14
-- milliseconds from now or at $15, microseconds $16, fuel $17, memory $18, bytes in $19, bytes out $20, seeds $21.
-- Returns the position, from 1, of each entry whose run is held under its fence, with the moment of the write and when
-- it is due; the others are not written. The runs stay locked until the commit, so that none is taken away in between.
-- An entry that is there is written anew unless it is final: then its state would become null, which fails the whole.
with entry as materialized (
    select * from unnest($1::uuid[], $2::bigint[], $3::integer[], $4::integer[], $5::integer[], $6::text[], $7::text[],
        $8::integer[], $9::bytea[], $10::text[], $11::bytea[], $12::integer[], $13::integer[], $14::bigint[],
        $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[])
        with ordinality
        as e (run_id, fence, seq, attempt, version, kind, name, occurrence, request, state, payload, tries, tries_before,
            due_after_ms, due_at, took_us, fuel, peak_memory_bytes, bytes_in, bytes_out, seeds, position)
), held as materialized (
    -- By a function, so that runs are found by their key and not among all that are held.
    select run_id, fence from runs where run_id = any($1) and num_nonnulls(worker_id) = 1 order by run_id
    for share
), moment as materialized (
    select now_ms() as now from held limit 1
), fenced as materialized (
    select e.*, now,
        case when num_nonnulls(due_after_ms, due_at) > 0 then least(now + due_after_ms, due_at, far_ms()) end as due
    from moment, entry e join held on held.run_id = e.run_id and held.fence = e.fence
), written as (
    insert into journal as old (run_id, seq, attempt, version, kind, name, occurrence, request, state, payload, tries,
        tries_before, due_at, took_us, fuel, peak_memory_bytes, bytes_in, bytes_out, seeds, recorded_at)
    select run_id, seq, attempt, version, kind, name, occurrence, request, state, payload, tries, tries_before, due,
        took_us, fuel, peak_memory_bytes, bytes_in, bytes_out, seeds, now
    from fenced
    on conflict (run_id, seq) do update
    set state = case when old.state in ('begun', 'again', 'waiting') then excluded.state end, attempt = excluded.attempt,
        version = excluded.version, kind = excluded.kind, name = excluded.name, occurrence = excluded.occurrence,
        request = excluded.request, payload = excluded.payload, tries = excluded.tries,
        tries_before = excluded.tries_before, due_at = excluded.due_at, took_us = excluded.took_us, fuel = excluded.fuel,
        peak_memory_bytes = excluded.peak_memory_bytes, bytes_in = excluded.bytes_in, bytes_out = excluded.bytes_out,
        seeds = excluded.seeds, recorded_at = excluded.recorded_at
)
select position, now as recorded_at, due as due_at from fenced
