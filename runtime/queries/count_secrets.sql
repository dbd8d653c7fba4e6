-- How many secrets there are.
select count(*) from secrets
