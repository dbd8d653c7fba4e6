-- Takes the advisory lock $1 for this connection; waits while another one has it.
select pg_advisory_lock($1)
