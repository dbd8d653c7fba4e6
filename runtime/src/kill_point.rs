//! Where may a test kill or stop this process? Named points in the path of a run, in debug
//! builds only: `RELUME_KILL_AT=after_commit:3` sends SIGKILL to the process when it comes by
//! `after_commit` for the third time, `RELUME_STOP_AT` sends SIGSTOP. A release build holds
//! none of this.

/// Every point, in the order in which a run comes by them.
pub const POINTS: [&str; 11] = [
    "after_claim",
    "after_load",
    "before_effect",
    "after_effect",
    "before_commit",
    "after_commit",
    "before_log_flush",
    "before_settle",
    "after_settle",
    "before_give_back",
    "before_renew",
];

/// Where `RELUME_PANIC_AT` may ask for a panic, each time: in a call of a guest to the host, beside it in the attempt's
/// task, and in the answer to a request.
pub const PANICS: [&str; 3] = ["host_call", "attempt", "request"];

/// Panics here, if a test has asked for it.
#[cfg(debug_assertions)]
pub fn panic_if_asked(name: &'static str) {
    use std::sync::LazyLock;

    static ASKED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("RELUME_PANIC_AT").ok());

    debug_assert!(PANICS.contains(&name));
    assert!(ASKED.as_deref() != Some(name), "a test asked for a panic at `{name}`");
}

/// Panics here, if a test has asked for it.
#[cfg(not(debug_assertions))]
pub fn panic_if_asked(_name: &'static str) {}

/// The process has come to the point `name`.
#[cfg(debug_assertions)]
pub fn reach(name: &'static str) {
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Armed {
        name: String,
        passes_left: AtomicU32,
        signal: Signal,
    }
    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let from = |variable, signal| std::env::var(variable).ok().map(|value| (value, signal));
        let (value, signal) = from("RELUME_KILL_AT", Signal::KILL).or_else(|| from("RELUME_STOP_AT", Signal::STOP))?;
        let (name, passes) = value.split_once(':').unwrap_or((&value, "1"));
        let passes = passes.parse().unwrap_or(1);
        assert!(POINTS.contains(&name), "`{name}` is no kill point: {POINTS:?}");
        Some(Armed { name: name.to_owned(), passes_left: AtomicU32::new(passes), signal })
    });

    debug_assert!(POINTS.contains(&name));
    let Some(armed) = ARMED.as_ref() else { return };
    if armed.name == name && armed.passes_left.fetch_sub(1, Ordering::SeqCst) == 1 {
        let _ = kill_process(getpid(), armed.signal);
        // Another thread may be the first to get the signal: this one must not go on meanwhile.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// The process has come to the point `name`.
#[cfg(not(debug_assertions))]
pub fn reach(_name: &'static str) {}
