-- Up to $3 entries of the journal of run $1 after entry $2, in order, without those that begin after $4 bytes of what they
-- hold.
select seq, attempt, version, kind, name, occurrence, request, state, payload, tries, tries_before, seeds, due_at, took_us,
    fuel, peak_memory_bytes, bytes_in, bytes_out, recorded_at
from (
    select page.*, sum(octet_length(request) + octet_length(payload)) over (order by seq) as bytes from (
        select * from journal where run_id = $1 and seq > $2 order by seq limit $3
    ) page
) counted
where bytes - octet_length(request) - octet_length(payload) < $4
order by seq
