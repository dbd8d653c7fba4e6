-- Revokes the token with public id $1. No row if it is unknown or revoked already.
update tokens set revoked_at = now_ms() where token_id = $1 and revoked_at is null returning token_id
