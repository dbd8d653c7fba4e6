//! Is a panic a trap, with its message in the log?

fn main() {
    panic!("no way out");
}
