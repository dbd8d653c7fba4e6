-- Lists call $3 of run $1, held under fence $2: attempt $4, entry $5 of the journal, method $6, URL $7, status $8, error
-- $9, bytes in $10 and out $11, milliseconds $12. No row if the run was taken away, or the call is there already, after
-- an answer that got lost.
insert into calls (run_id, call_num, attempt, seq, method, url, status, error, bytes_in, bytes_out, took_ms, recorded_at)
select run_id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now_ms() from runs
where run_id = $1 and fence = $2 and worker_id is not null
on conflict do nothing
returning call_num
