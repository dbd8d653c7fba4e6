-- Appends entry $3 (seq) to the journal of run $1, held under fence $2: attempt $4, name $5,
-- occurrence $6, payload $7, failed $8, microseconds $9. No row if the run was taken away.
insert into journal (run_id, seq, attempt, name, occurrence, payload, failed, took_us, recorded_at)
select run_id, $3, $4, $5, $6, $7, $8, $9, now_ms() from runs where run_id = $1 and fence = $2 and worker_id is not null
returning seq
