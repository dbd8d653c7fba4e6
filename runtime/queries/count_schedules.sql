-- How many schedules there are, of app $1 unless null.
select count(*) from schedules where $1 is null or app = $1
