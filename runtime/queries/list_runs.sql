-- Up to $3 runs, newest first: of status $1 unless that is null, older than run $2 unless null.
select * from run_details
where ($1 is null or status = $1) and ($2 is null or run_id < $2)
order by run_id desc limit $3
