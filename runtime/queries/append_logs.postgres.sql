-- Appends the log lines that the arrays spell out column by column: run $1, fence $2, line
-- number $3, attempt $4, channel $5, content $6, entry $7 of the step it was printed in or null. Returns how many: those
-- whose run is held under their fence and that are not there yet, after an answer that got lost. The runs stay locked until
-- the commit, so that none is taken away in between. The commit does not wait for the disk, so that a flood takes no turn
-- there from journals: the next commit that waits takes it along, or the server does so by itself within three times its
-- wal_writer_delay.
with line as materialized (
    select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::integer[])
        as l (run_id, fence, line_num, attempt, channel, content, seq)
), held as materialized (
    -- By a function, so that runs are found by their key and not among all that are held.
    select run_id, fence from runs where run_id = any($1) and num_nonnulls(worker_id) = 1 order by run_id
    for share
), written as (
    insert into logs (run_id, line_num, attempt, channel, content, seq, reported_at)
    select l.run_id, l.line_num, l.attempt, l.channel, l.content, l.seq, now_ms()
    from line l join held on held.run_id = l.run_id and held.fence = l.fence
    on conflict do nothing
    returning 1
)
select count(*), set_config('synchronous_commit', 'off', true) as this_commit from written
