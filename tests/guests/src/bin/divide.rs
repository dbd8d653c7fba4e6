//! Is a division by zero, which Rust itself would have refused with a panic, a trap?
#![allow(unsafe_code, reason = "it is what Rust itself would refuse")]

fn main() {
    println!("{}", divide(std::hint::black_box(7), 0));
}

#[inline(never)]
fn divide(a: u32, b: u32) -> u32 {
    // SAFETY: none; the undefined behaviour of WebAssembly is a trap, and `black_box` hides the zero from the compiler.
    a / unsafe { std::num::NonZeroU32::new_unchecked(std::hint::black_box(b)) }
}
