-- Writes entry $3 (seq) to the journal of run $1, held under fence $2: attempt $4, version $5, kind $6, name $7,
-- occurrence $8, request $9, state $10, payload $11, tries $12, tries before $13, due $14 milliseconds from now or at
-- $15, microseconds $16, fuel $17, memory $18, bytes in $19, bytes out $20, seeds $21; now is $22, for all entries of a
-- commit. No row if the run was taken away.
-- An entry that is there is written anew unless it is final: then its state would become null, which fails the whole.
insert into journal (run_id, seq, attempt, version, kind, name, occurrence, request, state, payload, tries, tries_before,
    due_at, took_us, fuel, peak_memory_bytes, bytes_in, bytes_out, seeds, recorded_at)
select run_id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, min(coalesce($22 + $14, $15), far_ms()), $16, $17, $18, $19,
    $20, $21, $22
from runs where run_id = $1 and fence = $2 and worker_id is not null
on conflict (run_id, seq) do update
set state = iif(state in ('begun', 'again', 'waiting'), excluded.state, null), attempt = excluded.attempt,
    version = excluded.version, kind = excluded.kind, name = excluded.name, occurrence = excluded.occurrence,
    request = excluded.request, payload = excluded.payload, tries = excluded.tries, tries_before = excluded.tries_before,
    due_at = excluded.due_at, took_us = excluded.took_us, fuel = excluded.fuel,
    peak_memory_bytes = excluded.peak_memory_bytes, bytes_in = excluded.bytes_in, bytes_out = excluded.bytes_out,
    seeds = excluded.seeds, recorded_at = excluded.recorded_at
returning recorded_at, due_at
