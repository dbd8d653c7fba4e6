-- Up to $4 runs of app $1, newest first: of status $2 unless null, older than run $3 unless null.
-- A file of its own so that it always has the index of one app.
select * from run_details
where app = $1 and ($2 is null or status = $2) and ($3 is null or run_id < $3)
order by run_id desc limit $4
