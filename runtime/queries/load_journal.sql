-- The journal of run $1, in order.
select seq, attempt, name, occurrence, payload, failed, took_us, recorded_at from journal where run_id = $1 order by seq
