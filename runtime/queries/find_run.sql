-- The run number $2 of app $1: one row, or none.
select * from run_details where app = $1 and number = $2
