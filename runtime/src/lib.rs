//! Relume: upload a WebAssembly component, invoke it, and it finishes.
//!
//! The modules in reading order. **Each uses only those above it**; `tests/tests/tidy.rs` keeps it so.

pub mod kill_point; // where may a test kill this process? (debug builds)
pub mod retry; // when does a failed attempt run again? (pure)
pub mod run; // what is a run, and what follows from an outcome? (pure)
pub mod hosts; // which requests does a line of `allowed_hosts` allow? (pure)
pub mod numbers; // how is a number told that bounds something? (pure)
pub mod manifest; // what may an app use, and how long? (pure)
pub mod policy; // what does the operator allow at most? (pure)
pub mod capabilities; // what may a version do, and what more than another? (pure)
pub mod cron; // when does a schedule tick? (pure)
pub mod vault; // how are secrets kept?
pub mod telemetry; // what is counted, and how is it told?
pub mod redact; // where does a secret show? (pure)
pub mod store; // what is on disk, and how is it changed?
pub mod journal; // what has this run already done; group commit of new entries
pub mod log; // what did the guest print?
pub mod sandbox; // how does one guest run, and what may it touch?
pub mod executor; // in which process does a guest run?
pub mod worker; // who runs what, when?
pub mod scheduler; // what starts, or is given up, at its time?
pub mod ui; // what does a person see?
pub mod api; // what can a caller ask?
pub mod cli; // what can a person type?
