-- A row if run $1 is held under fence $2.
select run_id from runs where run_id = $1 and fence = $2 and worker_id is not null
