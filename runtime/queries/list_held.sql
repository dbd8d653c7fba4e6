-- The runs that worker $1 holds, with their fences.
select run_id, fence from runs where worker_id = $1
