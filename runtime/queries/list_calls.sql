-- Up to $3 calls of run $1 after call $2, in the order in which they were over.
select call_num, attempt, seq, method, url, status, error, bytes_in, bytes_out, took_ms, recorded_at from calls
where run_id = $1 and call_num > $2
order by call_num limit $3
