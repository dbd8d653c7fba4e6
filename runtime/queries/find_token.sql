-- The token with public id $1: one row, or none if it is unknown or revoked.
select token_id, name, secret_hash, created_at from tokens where token_id = $1 and revoked_at is null
