-- The component with digest $1: one row, or none.
select component from artifacts where digest = $1
