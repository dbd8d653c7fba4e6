-- Milliseconds until the next run that waits is due, negative if it is overdue; null if none waits.
select min(available_at) - now_ms() from runs where available_at is not null
