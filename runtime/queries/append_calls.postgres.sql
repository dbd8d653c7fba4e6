-- Lists the calls that the arrays spell out column by column: run $1, fence $2, number $3, attempt $4, entry of the
-- journal $5, method $6, URL $7, status $8, error $9, bytes in $10 and out $11, milliseconds $12. Returns how many: those
-- whose run is held under their fence and that are not there yet, after an answer that got lost. The runs stay locked
-- until the commit, so that none is taken away in between.
with call as materialized (
    select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::text[], $7::text[],
        $8::integer[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[])
        as k (run_id, fence, call_num, attempt, seq, method, url, status, error, bytes_in, bytes_out, took_ms)
), held as materialized (
    -- By a function, so that runs are found by their key and not among all that are held.
    select run_id, fence from runs where run_id = any($1) and num_nonnulls(worker_id) = 1 order by run_id
    for share
), written as (
    insert into calls
        (run_id, call_num, attempt, seq, method, url, status, error, bytes_in, bytes_out, took_ms, recorded_at)
    select k.run_id, k.call_num, k.attempt, k.seq, k.method, k.url, k.status, k.error, k.bytes_in, k.bytes_out,
        k.took_ms, now_ms()
    from call k join held on held.run_id = k.run_id and held.fence = k.fence
    on conflict do nothing
    returning 1
)
select count(*) from written
