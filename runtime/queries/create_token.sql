-- Keeps the token with public id $1, name $2 and secret hash $3. A taken id violates the primary
-- key.
insert into tokens (token_id, name, secret_hash, created_at) values ($1, $2, $3, now_ms())
returning token_id, name, secret_hash, created_at
