-- Appends the journal entries that the arrays spell out column by column: run $1, fence $2,
-- seq $3, attempt $4, name $5, occurrence $6, payload $7, failed $8, microseconds $9. Returns
-- the position, from 1, of each entry whose run is held under its fence; the others are not
-- written. The runs stay locked until the commit, so that none is taken away in between.
with entry as materialized (
    select * from unnest($1::uuid[], $2::bigint[], $3::integer[], $4::integer[], $5::text[], $6::integer[], $7::bytea[],
        $8::boolean[], $9::bigint[]) with ordinality
        as e (run_id, fence, seq, attempt, name, occurrence, payload, failed, took_us, position)
), held as materialized (
    -- By a function, so that runs are found by their key and not among all that are held.
    select run_id, fence from runs where run_id = any($1) and num_nonnulls(worker_id) = 1 order by run_id
    for share
), fenced as materialized (
    select e.* from entry e join held on held.run_id = e.run_id and held.fence = e.fence
), written as (
    insert into journal (run_id, seq, attempt, name, occurrence, payload, failed, took_us, recorded_at)
    select run_id, seq, attempt, name, occurrence, payload, failed, took_us, now_ms() from fenced
)
select position from fenced
