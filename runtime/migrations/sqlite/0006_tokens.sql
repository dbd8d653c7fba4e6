-- Tokens that may use some apps only: their names between commas, one before the first and one behind the last. Null is
-- every app.

alter table tokens add column apps text
    constraint apps_are_between_commas check (apps is null or apps like ',_%,')
    constraint admin_is_of_every_app check (apps is null or scopes not like '%admin%');
