-- How many schedules there are, of app $1 and of an app in $2 (names between commas), unless these are null.
select count(*) from schedules where ($1 is null or app = $1) and ($2 is null or $2 like '%,' || app || ',%')
