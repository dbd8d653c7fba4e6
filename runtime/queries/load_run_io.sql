-- Input and output of run $1: one row, or none if there is no such run.
select input, output from run_io where run_id = $1
