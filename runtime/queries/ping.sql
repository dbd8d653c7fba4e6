-- Answers.
select 1
