-- Deletes schedule $1; its runs stay. No row if there is none.
delete from schedules where schedule_id = $1 returning schedule_id
