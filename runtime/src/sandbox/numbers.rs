//! The numbers of the sandbox that no manifest can set.

use super::egress::{CONNECT_EACH, MAX_ADDRESSES, MAX_HEAD_BYTES, MAX_HEADERS};
use super::upload::{MAX_COMPONENT_BYTES, MAX_NAME_BYTES};
use super::{HOSTCALL_FUEL, MAX_RANDOM_BYTES, compiler, durable, engine, verdict, weigh};
use crate::numbers::{Number, bytes, count, fixed, time};
use crate::policy::Policy;

/// All of them, under the operator's policy.
pub fn numbers(policy: &Policy) -> Vec<Number> {
    let usual = Policy::default().compile;
    let compile = |about: &str, value: String, is_usual: bool| Number {
        from: if is_usual { "default" } else { "operator's policy" }.into(),
        ..fixed("V5", about, value)
    };
    let now = policy.compile;
    let mut all = vec![
        fixed("V1", "a program's turn, before others have theirs", time(engine::TICK)),
        fixed("V4", "a program's stack", bytes(engine::WASM_STACK_BYTES)),
        fixed("V4", "that stack with the calls of the host on it", bytes(engine::ASYNC_STACK_BYTES)),
        fixed("V5", "an upload", bytes(MAX_COMPONENT_BYTES)),
        compile(
            "processor time of compiling one component",
            format!("{} s", now.cpu_seconds),
            now.cpu_seconds == usual.cpu_seconds,
        ),
        compile(
            "memory of compiling one component",
            bytes(u64::from(now.memory_mib) << 20),
            now.memory_mib == usual.memory_mib,
        ),
        compile("components compiled at once", count(now.at_once), now.at_once == usual.at_once),
        fixed("V5", "time of compiling one component, waiting included", time(compiler::MAX_TIME)),
        fixed("V5", "machine code of one component", bytes(compiler::MAX_CODE_BYTES)),
    ];
    all.extend(weigh::numbers());
    all.extend([
        fixed("V6", "imports of a component", count(weigh::MAX_IMPORTS)),
        fixed("V6", "exports of a component", count(weigh::MAX_EXPORTS)),
        fixed("V6", "the name of an import or export", bytes(MAX_NAME_BYTES)),
        fixed("V7", "connecting to one address", time(CONNECT_EACH)),
        fixed("V9", "what one call may hand to the host", bytes(HOSTCALL_FUEL)),
        fixed("V9", "random bytes of one call", bytes(MAX_RANDOM_BYTES)),
        fixed("V9", "a program's explanation of its failure", bytes(durable::MAX_MESSAGE_BYTES)),
        fixed("V9", "the backtrace of a trap", bytes(verdict::MAX_BACKTRACE_BYTES)),
        fixed("V11", "addresses tried of one name", count(MAX_ADDRESSES)),
        fixed("V11", "the head of an HTTP answer", bytes(MAX_HEAD_BYTES)),
        fixed("V11", "headers of an HTTP answer", count(MAX_HEADERS)),
    ]);
    all
}
