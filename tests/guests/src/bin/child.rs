//! What becomes of a run that another one started? It does well, fails, crashes once, waits for the event `go`,
//! or starts one that does.

#[relume::main]
fn main((mode, i): (String, u32)) -> relume::Result<String> {
    match mode.as_str() {
        "fail" => anyhow::bail!("child {i} fails, as asked"),
        "crash_once" if relume::run::attempt() == 1 => panic!("child {i} crashes, as asked"),
        "wait" => Ok(relume::event("go").wait()?),
        "nest" => Ok(relume::app(relume::run::app()).call(&("wait", i))?),
        _ => Ok(relume::step("work").run(|| anyhow::Ok(format!("child {i} is done")))?),
    }
}
