-- The journal of run $1, in order.
select seq, attempt, version, kind, name, occurrence, request, state, payload, tries, tries_before, seeds, due_at, took_us,
    fuel, peak_memory_bytes, bytes_in, bytes_out, recorded_at
from journal where run_id = $1 order by seq
