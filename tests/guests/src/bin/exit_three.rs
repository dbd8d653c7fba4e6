//! Does the exit code arrive as it is, and not as 1? Rust's std knows only 0 and 1 on this target, WASI knows more.

fn main() {
    relume::run::exit(3);
}
