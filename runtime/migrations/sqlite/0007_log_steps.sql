-- Lines that were printed in a step tell which: its entry in the journal. Null is outside steps, and before this.

alter table logs add column seq integer;
