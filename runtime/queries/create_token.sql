-- Keeps the token with public id $1, name $2, secret hash $3 and scopes $4, valid for $5 milliseconds unless null, for the
-- apps $6 (names between commas), for all if null. A taken id violates the primary key.
insert into tokens (token_id, name, secret_hash, scopes, created_at, expires_at, apps)
values ($1, $2, $3, $4, now_ms(), now_ms() + $5, $6)
returning token_id, name, secret_hash, scopes, apps, created_at, expires_at
