-- The attempts of run $1 that began, by number.
select seq, status, starting_at, started_at, ended_at, exit_code, failure_kind, failure_message, failure_backtrace,
    fuel_used, peak_memory_bytes, bytes_in, bytes_out, recoveries
from attempts where run_id = $1 order by seq
