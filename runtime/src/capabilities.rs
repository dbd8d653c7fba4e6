//! What may a version do, and what more than another? Read off its manifest and its component's imports. What every
//! program may do is no capability: compute, print, read the clocks and chance. Pure.

use std::collections::BTreeSet;
use std::fmt;

use crate::manifest::{Limit, Settings};

/// Interfaces that every program may import.
const FREE: [&str; 4] = ["wasi:cli", "wasi:clocks", "wasi:io", "wasi:random"];
/// Those that are offered because compilers import them whether they are used or not, and of which every call is refused.
const ALWAYS_REFUSED: [&str; 2] = ["wasi:filesystem", "wasi:sockets"];

/// Something that not every program may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// A line of `allowed_hosts`.
    Network(String),
    Secret(String),
    /// A variable of the environment, by name.
    Environment(String),
    /// The network outside steps.
    LooseIo,
    /// A package whose interfaces the component imports, without its version.
    Import(String),
    /// More than the default of a limit.
    Limit(Limit, u64),
}

impl Capability {
    /// A stable word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Capability::Network(_) => "network",
            Capability::Secret(_) => "secret",
            Capability::Environment(_) => "environment",
            Capability::LooseIo => "loose_io",
            Capability::Import(_) => "import",
            Capability::Limit(..) => "limit",
        }
    }

    /// What it is of that kind.
    pub fn name(&self) -> &str {
        match self {
            Capability::Network(name)
            | Capability::Secret(name)
            | Capability::Environment(name)
            | Capability::Import(name) => name,
            Capability::LooseIo => "loose_io",
            Capability::Limit(limit, _) => limit.spec().name,
        }
    }

    /// It is imported, and gives nothing.
    pub fn is_refused(&self) -> bool {
        matches!(self, Capability::Import(package) if ALWAYS_REFUSED.contains(&package.as_str()))
    }
}

/// A line for people, without what would steer a terminal or make it two lines.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name().replace(char::is_control, "\u{fffd}");
        match self {
            Capability::Network(_) => write!(f, "may reach {name}"),
            Capability::Secret(_) => write!(f, "gets the secret {name}"),
            Capability::Environment(_) => write!(f, "has the variable {name}"),
            Capability::LooseIo => f.write_str("may use the network outside steps (loose_io)"),
            Capability::Import(_) if self.is_refused() => write!(f, "imports {name}, where every call is refused"),
            Capability::Import(_) if name == "wasi:http" => {
                f.write_str("imports wasi:http: requests to where `allowed_hosts` lets it")
            }
            Capability::Import(_) if name == "relume:durable" => {
                f.write_str("imports relume:durable: steps, waits, and runs of other apps")
            }
            Capability::Import(_) => write!(f, "imports {name}"),
            Capability::Limit(limit, value) => {
                write!(f, "may have {name} = {value} (default {})", limit.spec().default)
            }
        }
    }
}

/// What a version may do. `imports` are its component's, `None` if they were not kept.
pub fn capabilities(imports: Option<&[String]>, settings: &Settings) -> BTreeSet<Capability> {
    let packages = imports.unwrap_or_default().iter().filter_map(|import| Some(import.split_once('/')?.0));
    let mut found: BTreeSet<_> =
        packages.filter(|package| !FREE.contains(package)).map(|name| Capability::Import(name.to_owned())).collect();
    found.extend(settings.allowed_hosts.iter().cloned().map(Capability::Network));
    found.extend(settings.secrets.iter().cloned().map(Capability::Secret));
    found.extend(settings.env.keys().cloned().map(Capability::Environment));
    found.extend(settings.loose_io.then_some(Capability::LooseIo));
    let above = settings.limits.iter().filter(|(limit, value)| *value > limit.spec().default);
    found.extend(above.map(|(limit, value)| Capability::Limit(limit, value)));
    found
}

/// What one version may do and another may not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    pub added: Vec<Capability>,
    pub removed: Vec<Capability>,
}

impl Difference {
    /// From one version to the next.
    pub fn between(before: &BTreeSet<Capability>, after: &BTreeSet<Capability>) -> Difference {
        let more = |of: &BTreeSet<Capability>, than: &BTreeSet<Capability>| {
            let covers = |one: &Capability, other: &Capability| match (one, other) {
                (Capability::Limit(a, most), Capability::Limit(b, value)) => a == b && most >= value,
                (a, b) => a == b,
            };
            of.iter().filter(|found| !than.iter().any(|known| covers(known, found))).cloned().collect()
        };
        Difference { added: more(after, before), removed: more(before, after) }
    }

    /// What is added that gives something. Source: SECURITY, "Capabilities".
    pub fn to_approve(&self) -> impl Iterator<Item = &Capability> {
        self.added.iter().filter(|added| !added.is_refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn of(imports: &[&str], manifest: &str) -> BTreeSet<Capability> {
        let imports: Vec<_> = imports.iter().map(|import| (*import).to_owned()).collect();
        capabilities(Some(&imports), &Manifest::parse(manifest).expect("a good manifest").settings())
    }

    fn added(before: &str, after: &str) -> Vec<String> {
        let difference = Difference::between(&of(&[], before), &of(&[], after));
        difference.added.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_every_program_may_do_is_no_capability() {
        let imports = ["wasi:cli/run@0.2.6", "wasi:clocks/wall-clock@0.2.6", "wasi:io/poll@0.2.6"];
        assert!(of(&imports, "").is_empty());
    }

    #[test]
    fn another_release_of_an_interface_is_no_other_capability() {
        let before = of(&["wasi:http/types@0.2.3", "wasi:http/outgoing-handler@0.2.3"], "");
        assert_eq!(Difference::between(&before, &of(&["wasi:http/types@0.2.6"], "")), Difference::default());
    }

    #[test]
    fn more_is_added_and_less_is_removed() {
        assert_eq!(added("", "allowed_hosts = [\"a.example\"]"), ["may reach a.example"]);
        assert_eq!(added("", "secrets = [\"KEY\"]"), ["gets the secret KEY"]);
        assert_eq!(added("[env]\nA = \"1\"", "[env]\nA = \"2\"\nB = \"1\""), ["has the variable B"]);
        assert_eq!(added("", "loose_io = true").len(), 1);
        let limits = |mib: u32| format!("[limits]\nmemory_mib = {mib}");
        assert_eq!(added("", &limits(512)), ["may have memory_mib = 512 (default 256)"]);
        assert_eq!(added(&limits(512), &limits(1024)).len(), 1);
        assert!(added(&limits(1024), &limits(512)).is_empty());
        assert!(added("", &limits(100)).is_empty(), "less than the default is no capability");
        let less = Difference::between(&of(&[], &limits(1024)), &of(&[], ""));
        assert_eq!((less.added.len(), less.removed.len()), (0, 1));
    }

    #[test]
    fn what_is_always_refused_is_shown_and_needs_no_approval() {
        let after = of(&["wasi:sockets/tcp@0.2.6", "wasi:sockets/udp@0.2.6"], "");
        let difference = Difference::between(&BTreeSet::new(), &after);
        assert_eq!((difference.added.len(), difference.to_approve().count()), (1, 0));
    }

    #[test] // V19
    fn a_capability_is_one_line() {
        let told = Capability::Environment("A\n+ may reach b\u{1b}[2J".into()).to_string();
        assert!(!told.contains(char::is_control), "{told:?}");
    }
}
