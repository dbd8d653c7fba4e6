//! Is a read outside the memory a trap?
#![allow(unsafe_code, reason = "it is what Rust itself would refuse")]

fn main() {
    // SAFETY: none; what is undefined in Rust is a trap in WebAssembly.
    println!("{}", unsafe { std::ptr::read_volatile(0xffff_fff0 as *const u8) });
}
