-- Appends line $3 to the log of run $1, held under fence $2: attempt $4, channel $5, content $6,
-- printed in the step of entry $7 or null.
-- No row if the run was taken away, or the line is there already, after an answer that got lost.
insert into logs (run_id, line_num, attempt, channel, content, seq, reported_at)
select run_id, $3, $4, $5, $6, $7, now_ms() from runs where run_id = $1 and fence = $2 and worker_id is not null
on conflict do nothing
returning line_num
