-- The run that was started with key $2 of app $1, and the hash of that request: one row, or none.
select d.*, (select k.request_hash from start_keys k where k.app = $1 and k.key = $2) as request_hash
from run_details d
where d.run_id = (select k.run_id from start_keys k where k.app = $1 and k.key = $2)
