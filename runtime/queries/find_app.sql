-- The app $1: one row, or none if there is no such app.
select * from app_details where name = $1
