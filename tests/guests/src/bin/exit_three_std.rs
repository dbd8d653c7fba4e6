//! Which code arrives when the standard library exits with 3? It knows 0 and 1 only, on this target.

fn main() {
    std::process::exit(3);
}
