-- Keeps the encrypted key pair $1 unless there is one.
insert into key_pair (id, sealed, created_at) values (1, $1, now_ms()) on conflict do nothing returning sealed
