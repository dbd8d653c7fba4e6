//! Does fuel or the running time end a program that never does?

fn main() {
    loop {
        std::hint::spin_loop();
    }
}
