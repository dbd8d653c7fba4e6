//! Which requests does a line of `allowed_hosts` allow? `[METHODS ]PATTERN`, the same in manifests and in an operator's
//! policy. What a program asks for is read as strictly as what people allow, so that a host has one spelling: what
//! another program might take for an address is refused, and never guessed at. Pure: no name is looked up here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most lines of one list.
pub const MAX_LINES: usize = 256;
/// The longest name that DNS knows. Source: RFC 1035, 2.3.4.
const MAX_NAME_BYTES: usize = 253;
/// The longest part of one.
const MAX_LABEL_BYTES: usize = 63;

/// A host, by name or by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// Lower-case, without a dot at its end.
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// A name, an IPv4 address in four decimal numbers, or an IPv6 address in brackets.
    fn parse(text: &str) -> Result<Host, String> {
        if let Some(rest) = text.strip_prefix('[') {
            let address = rest.strip_suffix(']').and_then(|inside| inside.parse::<Ipv6Addr>().ok());
            return address.map(|address| Host::Address(address.into())).ok_or_else(|| {
                "is no host: brackets hold an IPv6 address without a zone, e.g. [2001:db8::1]".to_owned()
            });
        }
        let name = text.to_ascii_lowercase();
        if is_number(name.rsplit('.').next().unwrap_or_default()) {
            // Others read `127.1`, `0x7f000001` and `0177.0.0.1` as addresses.
            let address = name.parse::<Ipv4Addr>().map(|address| Host::Address(address.into()));
            return address
                .map_err(|_| "is no host: an IPv4 address is four decimal numbers, e.g. 192.0.2.1".to_owned());
        }
        check_name(&name)?;
        Ok(Host::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => write!(formatter, "{name}"),
            Host::Address(IpAddr::V4(address)) => write!(formatter, "{address}"),
            Host::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
        }
    }
}

/// Whether a name that ends so is one that others take for an IPv4 address. Source: WHATWG URL, "ends in a number".
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x");
    (!label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()))
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn check_name(name: &str) -> Result<(), String> {
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.split('.').all(is_label) {
        return Ok(());
    }
    Err("is no host: a name is letters, digits, hyphens and inner dots (`xn--...` for others), e.g. api.example.com"
        .to_owned())
}

fn parse_port(text: &str) -> Result<u16, String> {
    let is_decimal = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = is_decimal.then(|| text.parse().ok()).flatten().filter(|port| *port > 0);
    port.ok_or_else(|| "has no port after its `:`: that is a number from 1 to 65535".to_owned())
}

/// What stands before and after the colon of a port.
fn split_port(text: &str) -> Result<(&str, Option<&str>), String> {
    if text.contains('@') {
        return Err("names a user before its `@`: send that in a header".to_owned());
    }
    let after_brackets = match text.strip_prefix('[') {
        Some(_) => text.find(']').map_or(text.len(), |end| end + 1),
        None => 0,
    };
    Ok(match text[after_brackets..].find(':') {
        None => (text, None),
        Some(colon) => (&text[..after_brackets + colon], Some(&text[after_brackets + colon + 1..])),
    })
}

fn usual_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// Where a request goes. Written as a line that allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub tls: bool,
    pub host: Host,
    pub port: u16,
}

impl Target {
    /// The target of a request to `authority` (`host` or `host:port`); the error says what is wrong with that.
    pub fn parse(tls: bool, authority: &str) -> Result<Target, String> {
        let (host, port) = split_port(authority)?;
        let port = port.map(parse_port).transpose()?.unwrap_or(usual_port(tls));
        Ok(Target { tls, host: Host::parse(host)?, port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", if self.tls { "https" } else { "http" }, self.host)?;
        if self.port == usual_port(self.tls) { Ok(()) } else { write!(formatter, ":{}", self.port) }
    }
}

/// One line of `allowed_hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRule {
    /// In upper case; empty is every method.
    methods: Vec<String>,
    /// `None` is both.
    tls: Option<bool>,
    hosts: Hosts,
    /// `None` is any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    Any,
    /// What ends with this, which begins with a dot.
    Below(String),
    One(Host),
}

impl HostRule {
    /// Reads a line: methods with commas between them and a space, if not all; `https://`, which may be left out, or
    /// `http://`; a host, `*.host` for the names below it, or `*` for every host; and `:port`, or `:*` for any. A line
    /// that is `*` alone is everything. The error says what is wrong with the line, and what would be right.
    pub fn parse(line: &str) -> Result<HostRule, String> {
        let (methods, pattern) = match line.rsplit_once(' ') {
            None => (Vec::new(), line),
            Some((methods, pattern)) => (parse_methods(methods)?, pattern),
        };
        if pattern == "*" {
            return Ok(HostRule { methods, tls: None, hosts: Hosts::Any, port: None });
        }
        let (tls, rest) = match pattern.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some((scheme, _)) => return Err(format!("begins with `{scheme}://`: that is `https://` or `http://`")),
            None => (true, pattern),
        };
        if rest.contains(['/', '?', '#']) {
            return Err("names more than a host: leave out the path".to_owned());
        }
        let (host, port) = split_port(rest)?;
        let port = match port {
            None => Some(usual_port(tls)),
            Some("*") => None,
            Some(port) => Some(parse_port(port)?),
        };
        let hosts = match host.strip_prefix('*') {
            None => Hosts::One(Host::parse(host)?),
            Some("") => Hosts::Any,
            Some(below) => match below.strip_prefix('.').map(Host::parse) {
                Some(Ok(Host::Name(name))) => Hosts::Below(format!(".{name}")),
                _ => {
                    return Err(
                        "has a `*` in the wrong place: it stands for all before a dot, e.g. *.example.com".into()
                    );
                }
            },
        };
        Ok(HostRule { methods, tls: Some(tls), hosts, port })
    }

    /// Whether it names no host, so that it is for operators only.
    pub fn is_for_every_host(&self) -> bool {
        self.hosts == Hosts::Any
    }

    /// Whether it allows the request.
    pub fn allows(&self, method: &str, target: &Target) -> bool {
        self.allows_place(target) && (self.methods.is_empty() || self.methods.iter().any(|allowed| allowed == method))
    }

    /// Whether it allows some request to there.
    pub fn allows_place(&self, target: &Target) -> bool {
        let host_fits = match (&self.hosts, &target.host) {
            (Hosts::Any, _) => true,
            (Hosts::Below(end), Host::Name(name)) => name.len() > end.len() && name.ends_with(end),
            (Hosts::Below(_), Host::Address(_)) => false,
            (Hosts::One(host), asked) => host == asked,
        };
        host_fits && self.tls.is_none_or(|tls| tls == target.tls) && self.port.is_none_or(|port| port == target.port)
    }
}

fn parse_methods(text: &str) -> Result<Vec<String>, String> {
    let methods: Vec<_> = text.split(',').map(|method| method.trim().to_owned()).collect();
    let is_method =
        |method: &String| (1..=20).contains(&method.len()) && method.bytes().all(|b| b.is_ascii_uppercase());
    match methods.iter().find(|method| !is_method(method)) {
        Some(wrong) => Err(format!("begins with `{wrong}`, which is no method: e.g. GET,POST before a space")),
        None => Ok(methods),
    }
}

/// What is wrong with the lines of a manifest.
pub fn check_lines(lines: &[String]) -> Result<(), String> {
    if lines.len() > MAX_LINES {
        return Err(format!("{} lines are too many: it is 0 to {MAX_LINES}", lines.len()));
    }
    for line in lines {
        HostRule::parse(line).map_err(|why| format!("`{}` {why}", shortened(line)))?;
    }
    Ok(())
}

/// The beginning of a text that may be long.
pub fn shortened(text: &str) -> String {
    const MAX_CHARACTERS: usize = 256;
    match text.char_indices().nth(MAX_CHARACTERS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, request: &str, allowed: bool) {
        let rule = HostRule::parse(line).expect("a good line");
        let (method, url) = request.split_once(' ').unwrap_or(("GET", request));
        let (scheme, authority) = url.split_once("://").expect("a URL");
        let target = Target::parse(scheme == "https", authority).expect("a good target");
        assert_eq!(rule.allows(method, &target), allowed, "{line} and {request}");
    }

    #[test] // V11
    fn a_bare_host_is_that_host_over_https_on_its_usual_port() {
        check("api.example.com", "https://api.example.com", true);
        check("api.example.com", "https://API.example.com", true);
        check("API.example.com", "https://api.example.com", true);
        check("api.example.com", "https://api.example.com:443", true);
        check("api.example.com", "http://api.example.com", false);
        check("api.example.com", "http://api.example.com:443", false);
        check("api.example.com", "https://api.example.com:8443", false);
        check("api.example.com", "https://evil-api.example.com", false);
        check("api.example.com", "https://api.example.com.evil.org", false);
    }

    #[test] // V11
    fn a_star_stands_for_subdomains_or_ports_only() {
        check("*.example.com", "https://a.example.com", true);
        check("*.example.com", "https://a.b.example.com", true);
        check("*.example.com", "https://example.com", false);
        check("*.example.com", "https://evilexample.com", false);
        check("http://127.0.0.1:*", "http://127.0.0.1:4711", true);
        check("http://127.0.0.1:*", "http://127.0.0.2:4711", false);
        check("*.com", "https://127.0.0.1", false);
    }

    #[test] // V11
    fn methods_are_those_before_the_space() {
        for line in ["GET,HEAD https://*.example.com:8443", "GET, HEAD *.example.com:8443"] {
            check(line, "GET https://a.example.com:8443", true);
            check(line, "HEAD https://a.example.com:8443", true);
            check(line, "POST https://a.example.com:8443", false);
            check(line, "get https://a.example.com:8443", false);
            check(line, "GET https://a.example.com", false);
        }
    }

    #[test] // V11
    fn everything_is_for_operators() {
        check("*", "POST http://127.0.0.1:4711", true);
        check("GET *", "POST http://127.0.0.1:4711", false);
        check("https://*", "https://example.com", true);
        check("https://*", "https://example.com:8443", false);
        check("https://*:*", "https://[::1]:8443", true);
        check("https://*:*", "http://example.com", false);
        for line in ["*", "GET *", "https://*", "*:*"] {
            assert!(HostRule::parse(line).expect("a good line").is_for_every_host(), "{line}");
        }
    }

    #[test] // V11
    fn an_ipv6_address_is_one_however_it_is_written() {
        check("http://[::1]:9000", "http://[::1]:9000", true);
        check("http://[0:0::1]:9000", "http://[::0:1]:9000", true);
        check("http://[::1]", "http://[::1]:9000", false);
        check("http://127.0.0.1", "http://[::ffff:127.0.0.1]", false);
    }

    #[test] // V11
    fn a_wrong_line_says_what_would_be_right() {
        for (line, why) in [
            ("", "no host"),
            ("ftp://example.com", "`https://`"),
            ("example.com:port", "1 to 65535"),
            ("example.com:0", "1 to 65535"),
            ("example.com:65536", "1 to 65535"),
            ("example.com:", "1 to 65535"),
            ("https://example.com/", "leave out the path"),
            ("exämple.com", "xn--"),
            ("example.com.", "no host"),
            ("a*.example.com", "no host"),
            ("*example.com", "before a dot"),
            ("*.1.2", "before a dot"),
            ("*.*.com", "before a dot"),
            ("127.1", "four decimal"),
            ("0x7f.0.0.1", "no host"),
            ("2130706433", "four decimal"),
            ("[::1", "brackets"),
            ("[fe80::1%eth0]", "brackets"),
            ("me@example.com", "a header"),
            ("get example.com", "no method"),
            ("GET; example.com", "no method"),
            (" example.com", "no method"),
        ] {
            let said = HostRule::parse(line).expect_err(line);
            assert!(said.contains(why) || (why == "no host" && said.contains("decimal")), "{line}: {said}");
        }
    }

    #[test] // V11
    fn a_host_has_one_spelling() {
        for authority in [
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "127.1",
            "127.0.1",
            "0177.0.0.1",
            "0177.0.0.01",
            "127.0.0.1.",
            "127.0.0.0x1",
            "00000127.0.0.1",
            "256.0.0.1",
            "1.2.3.4.5",
            "good@127.0.0.1",
            "good:x@127.0.0.1",
            "127.0.0.1%00",
            "%31%32%37.0.0.1",
            "127。0。0。1",
            "127.0.0.1\u{200b}",
            "①②⑦.0.0.1",
            "[::1%25lo]",
            "[::1",
            "::1",
            "[127.0.0.1]",
            "[::1].",
            "example.com.",
            ".example.com",
            "a..b",
            "-a.com",
            "a b",
            "",
            ":80",
            "a:",
            "a:+80",
            "a:080000",
            "a:0",
            "a:99999",
            "a:80:80",
        ] {
            assert!(Target::parse(false, authority).is_err(), "{authority}");
        }
        for (authority, written) in [
            ("Example.COM:80", "http://example.com"),
            ("127.0.0.1:0080", "http://127.0.0.1"),
            ("[::FFFF:7f00:1]:8080", "http://[::ffff:127.0.0.1]:8080"),
            ("a_b.example:1", "http://a_b.example:1"),
        ] {
            assert_eq!(Target::parse(false, authority).expect(authority).to_string(), written);
        }
    }

    #[test] // V11
    fn a_target_is_written_as_the_line_that_allows_it() {
        for (tls, authority) in [(true, "a.example"), (false, "a.example"), (true, "[::1]:80"), (false, "10.0.0.1:443")]
        {
            let target = Target::parse(tls, authority).expect("a good target");
            let rule = HostRule::parse(&target.to_string()).expect("a good line");
            assert!(rule.allows("GET", &target), "{target}");
        }
    }
}
