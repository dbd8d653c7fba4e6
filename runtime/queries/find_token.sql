-- The token with public id $1: one row, or none if it is unknown, revoked or expired.
select token_id, name, secret_hash, scopes, apps, created_at, expires_at from tokens
where token_id = $1 and revoked_at is null and (expires_at is null or expires_at > now_ms())
