//! What a child of ours gives up before it touches what an uploader or a guest made: rights, resources and,
//! on Linux, every call to the kernel that it does not need. Source: V4, V5, V20.

use anyhow::Context;
use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit};

/// How far a guest's process steps back behind the others: about a third of their share.
const NICENESS: i32 = 5;

/// What a child that compiles may use up.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub cpu_seconds: u64,
    /// Of address space.
    pub memory_bytes: u64,
}

/// Closes whatever this process was started with beyond stdin, stdout and stderr: the first thing that a child does.
#[cfg(target_os = "linux")]
pub fn close_inherited() -> anyhow::Result<()> {
    // SAFETY: this is the first thing that the process does, so nothing in it has opened or looked at these yet.
    #[allow(unsafe_code, reason = "no one owns a file that was only inherited, and so no one can close it safely")]
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    anyhow::ensure!(closed == 0, "inherited files cannot be closed: {}", std::io::Error::last_os_error());
    Ok(())
}

/// Elsewhere they stay.
#[cfg(not(target_os = "linux"))]
pub fn close_inherited() -> anyhow::Result<()> {
    Ok(())
}

/// For a child that reads a component from stdin and writes code to stdout. Threads begin later.
pub fn compiler(bounds: Bounds) -> anyhow::Result<()> {
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    limit(Resource::As, bounds.memory_bytes)?;
    // At the first number a signal says what it was, at the second the process is killed.
    let last = bounds.cpu_seconds.saturating_add(2);
    setrlimit(Resource::Cpu, Rlimit { current: Some(bounds.cpu_seconds), maximum: Some(last) })
        .context("the processor's time cannot be limited")?;
    system::leave(system::Threads::Begin)
}

/// For a child that executes a guest: everything it will need is open, loaded and running. `false` where this system
/// cannot confine it.
pub fn executor() -> anyhow::Result<bool> {
    if !system::IS_COMPLETE {
        return Ok(false);
    }
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    // Guests that compute leave the worker and the database their turns.
    setpriority_process(None, NICENESS).context("the child cannot step back")?;
    system::leave(system::Threads::Running)?;
    Ok(true)
}

/// What this process can still do of what an executor cannot, by name. For tests: none once it is confined.
pub fn probe() -> Vec<&'static str> {
    use std::fs::{File, OpenOptions};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener};
    let own_status = || File::open("/proc/self/status").is_ok();
    let parent = rustix::process::getppid();
    let tries: [(&str, bool); 12] = [
        ("read a file", own_status()),
        ("write a file", OpenOptions::new().append(true).open("/dev/null").is_ok()),
        ("list a folder", std::fs::read_dir("/").is_ok()),
        ("make a folder", std::fs::create_dir("/tmp/relume-probe").is_ok()),
        ("listen", TcpListener::bind("127.0.0.1:0").is_ok()),
        // Refused by the other end is let through by this one.
        (
            "connect",
            TcpStream::connect("127.0.0.1:9").is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused),
        ),
        ("send a datagram", UdpSocket::bind("127.0.0.1:0").is_ok()),
        ("listen to this machine", UnixListener::bind("/tmp/relume-probe.sock").is_ok()),
        ("ask this machine", UnixDatagram::unbound().is_ok()),
        ("start a program", std::process::Command::new("/bin/true").spawn().is_ok()),
        ("start a thread", std::thread::Builder::new().spawn(|| ()).is_ok()),
        ("signal its parent", parent.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())),
    ];
    tries.iter().filter(|(_, is_possible)| *is_possible).map(|(name, _)| *name).collect()
}

fn limit(resource: Resource, most: u64) -> anyhow::Result<()> {
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(resource, limit).with_context(|| format!("{resource:?} cannot be limited"))
}

/// Where there is no seccomp, the limits above are all.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod system {
    pub const IS_COMPLETE: bool = false;

    pub enum Threads {
        Begin,
        Running,
    }

    pub fn leave(_: Threads) -> anyhow::Result<()> {
        Ok(())
    }
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod system {
    use std::collections::BTreeMap;

    use anyhow::Context;
    use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        TargetArch,
    };

    pub const IS_COMPLETE: bool = true;

    #[cfg(target_arch = "x86_64")]
    const ARCH: TargetArch = TargetArch::x86_64;
    #[cfg(target_arch = "aarch64")]
    const ARCH: TargetArch = TargetArch::aarch64;

    /// Whether the child has yet to begin its threads.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Threads {
        Begin,
        Running,
    }

    /// What works on what the process holds already: its memory, its threads, its open files.
    const CALLS: [libc::c_long; 39] = [
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_recvfrom,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_lseek,
        libc::SYS_ppoll,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_pwait,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_membarrier,
        libc::SYS_rseq,
        libc::SYS_set_robust_list,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getpid,
        libc::SYS_getppid,
        libc::SYS_gettid,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettimeofday,
        libc::SYS_getrusage,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_set_tid_address,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];

    /// What only older processors' kernels have beside those.
    #[cfg(target_arch = "x86_64")]
    const MORE_CALLS: [libc::c_long; 3] = [libc::SYS_poll, libc::SYS_epoll_wait, libc::SYS_arch_prctl];
    #[cfg(target_arch = "aarch64")]
    const MORE_CALLS: [libc::c_long; 0] = [];

    /// No way to more rights, no debugger, no life beyond the parent's, and no calls but those above. The parent is
    /// the thread that started the child: it has to live as long as the process does.
    pub fn leave(threads: Threads) -> anyhow::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL)).context("the child cannot follow its parent")?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context("the child cannot hide its memory")?;
        let program = filter(threads).context("the filter of calls is wrong")?;
        // Takes away the way to more rights as well.
        seccompiler::apply_filter_all_threads(&program).context("the calls of the child cannot be filtered")
    }

    fn filter(threads: Threads) -> anyhow::Result<BpfProgram> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        rules.extend(CALLS.iter().chain(&MORE_CALLS).map(|call| (*call, vec![])));
        // No memory that can be executed: code that came over a pipe is in place before this.
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            rules.insert(call, vec![none_of(2, libc::PROT_EXEC as u64)?]);
        }
        // To whoever is at the other end, and no one else.
        rules.insert(libc::SYS_sendto, vec![none_of(4, u64::MAX)?]);
        // Itself, which is how it aborts.
        let own = u64::try_from(rustix::process::getpid().as_raw_nonzero().get()).unwrap_or_default();
        let is_own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, own)?;
        rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![is_own])?]);
        if threads == Threads::Begin {
            let thread = libc::CLONE_THREAD as u64;
            let is_thread = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), thread)?;
            rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![is_thread])?]);
        }
        // As if the kernel had none of the others: libc then takes older calls, whose arguments can be looked at.
        let no_such_call = SeccompAction::Errno(libc::ENOSYS as u32);
        let filter = SeccompFilter::new(rules, no_such_call, SeccompAction::Allow, ARCH)?;
        Ok(filter.try_into()?)
    }

    /// The argument has none of these bits.
    fn none_of(argument: u8, bits: u64) -> anyhow::Result<SeccompRule> {
        let masked = SeccompCmpOp::MaskedEq(bits);
        Ok(SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Qword, masked, 0)?])?)
    }
}
