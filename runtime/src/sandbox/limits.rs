//! How much memory may one attempt hold? Sums over all its memories and tables, where
//! wasmtime's own `StoreLimits` counts each alone.

use wasmtime::ResourceLimiter;

/// Elements of all tables. Source: V3.
const MAX_TABLE_ELEMENTS: usize = 100_000;
/// Instances, memories and tables. Source: V3.
const MAX_INSTANCES: usize = 32;
/// What one table element costs us.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// The guest asked for more than it may have. Ends the attempt `memory`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OverLimit(String);

/// Refuses growth beyond the limit, and remembers the peak.
pub struct Limiter {
    limit_bytes: usize,
    memory_bytes: usize,
    table_elements: usize,
    peak_bytes: usize,
}

impl Limiter {
    /// A limiter for an attempt that may hold `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Limiter {
        Limiter { limit_bytes, memory_bytes: 0, table_elements: 0, peak_bytes: 0 }
    }

    /// The most the attempt held.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes as u64
    }

    fn check(&mut self) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(self.table_elements.saturating_mul(TABLE_ELEMENT_BYTES));
        if total > self.limit_bytes {
            let (total_mib, limit_mib) = (total.div_ceil(1024 * 1024), self.limit_bytes / (1024 * 1024));
            return Err(wasmtime::Error::new(OverLimit(format!(
                "the program asked for {total_mib} MiB of memory; its limit is {limit_mib} MiB (`limits.memory_mib`)"
            ))));
        }
        self.peak_bytes = self.peak_bytes.max(total);
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
        if self.table_elements > MAX_TABLE_ELEMENTS {
            let message = format!("the program asked for more than {MAX_TABLE_ELEMENTS} table elements");
            return Err(wasmtime::Error::new(OverLimit(message)));
        }
        self.check()
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_INSTANCES
    }
}
