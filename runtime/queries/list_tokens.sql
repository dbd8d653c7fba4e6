-- All tokens that are not revoked, oldest first.
select token_id, name, secret_hash, scopes, apps, created_at, expires_at from tokens
where revoked_at is null order by created_at, token_id
