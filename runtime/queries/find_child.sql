-- Run $2, if it is a child of run $1 or of a run that $1 was forked from, what it returned once it has ended, and how
-- many things run $1 had been told: all at one moment. One row, or none.
with recursive line (run_id) as (
    select run_id from runs where run_id = $1
    union
    select r.forked_from_run_id from runs r join line l on r.run_id = l.run_id where r.forked_from_run_id is not null
)
select d.*, (select r.signals from runs r where r.run_id = $1) as signals,
    case when d.ended_at is not null then (select io.output from run_io io where io.run_id = d.run_id) end as output
from run_details d
where d.run_id = $2 and d.parent_run_id in (select run_id from line)
