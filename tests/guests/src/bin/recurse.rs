//! Does the stack limit end a recursion without end?

fn main() {
    println!("{}", depth(0));
}

#[expect(unconditional_recursion, reason = "the question")]
fn depth(n: u64) -> u64 {
    std::hint::black_box(depth(std::hint::black_box(n) + 1)) + 1
}
