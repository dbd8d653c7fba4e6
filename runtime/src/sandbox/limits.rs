//! How much memory may one attempt hold? Sums over all its memories and tables, where
//! wasmtime's own `StoreLimits` counts each alone.

use wasmtime::ResourceLimiter;

use crate::manifest::{Limit, Limits};

/// What one table element costs us.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// The guest asked for more than it may have. Ends the attempt `memory`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OverLimit(pub String);

/// Refuses growth beyond the limit, and remembers the peaks.
pub struct Limiter {
    limit_bytes: usize,
    max_table_elements: usize,
    max_instances: usize,
    memory_bytes: usize,
    table_elements: usize,
    peak_bytes: usize,
    step_peak_bytes: usize,
}

impl Limiter {
    /// A limiter for an attempt under these limits.
    pub fn new(limits: &Limits) -> Limiter {
        Limiter {
            limit_bytes: limits.bytes(Limit::MemoryMib),
            max_table_elements: limits.count(Limit::TableElements),
            max_instances: limits.count(Limit::Instances),
            memory_bytes: 0,
            table_elements: 0,
            peak_bytes: 0,
            step_peak_bytes: 0,
        }
    }

    /// A step begins, with what the attempt holds already.
    pub fn begin_step(&mut self) {
        self.step_peak_bytes = self.held_bytes();
    }

    /// The most the attempt held since the last step began. Memory never shrinks, so that this is
    /// more than at the step's begin only if the step needed more than all before it.
    pub fn step_peak_bytes(&self) -> u64 {
        self.step_peak_bytes as u64
    }

    /// The most the attempt held.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes as u64
    }

    fn held_bytes(&self) -> usize {
        self.memory_bytes.saturating_add(self.table_elements.saturating_mul(TABLE_ELEMENT_BYTES))
    }

    fn check(&mut self) -> wasmtime::Result<bool> {
        let total = self.held_bytes();
        if total > self.limit_bytes {
            let (total_mib, limit_mib) = (total.div_ceil(1024 * 1024), self.limit_bytes / (1024 * 1024));
            return Err(wasmtime::Error::new(OverLimit(format!(
                "the program asked for {total_mib} MiB of memory; its limit is {limit_mib} MiB (`limits.memory_mib`)"
            ))));
        }
        self.peak_bytes = self.peak_bytes.max(total);
        self.step_peak_bytes = self.step_peak_bytes.max(total);
        Ok(true)
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory_bytes = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        self.check()
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.table_elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        if self.table_elements > self.max_table_elements {
            let most = self.max_table_elements;
            let message = format!("the program asked for more than {most} table elements (`limits.table_elements`)");
            return Err(wasmtime::Error::new(OverLimit(message)));
        }
        self.check()
    }

    fn instances(&self) -> usize {
        self.max_instances
    }

    fn tables(&self) -> usize {
        self.max_instances
    }

    fn memories(&self) -> usize {
        self.max_instances
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Asked, SomeLimits};

    const MIB: usize = 1024 * 1024;

    #[test]
    fn the_peak_of_a_step_is_the_most_that_was_held_since_it_began() {
        let asked = Asked { run: [(Limit::MemoryMib, 16)].into_iter().collect(), ..Asked::default() };
        let mut limiter = Limiter::new(&Limits::in_force(&asked, &SomeLimits::default()));
        let grow = |limiter: &mut Limiter, from, to| {
            assert!(limiter.memory_growing(from * MIB, to * MIB, None).expect("within the limit"));
            (limiter.step_peak_bytes() / MIB as u64, limiter.peak_bytes() / MIB as u64)
        };
        assert_eq!(grow(&mut limiter, 0, 2), (2, 2));
        limiter.begin_step();
        assert_eq!(grow(&mut limiter, 2, 5), (5, 5));
        limiter.begin_step();
        assert_eq!(limiter.step_peak_bytes(), 5 * MIB as u64);
        // A second memory counts beside the first.
        assert_eq!(grow(&mut limiter, 0, 1), (6, 6));
    }
}
