//! Does the memory limit end a program that takes 1 MiB after another? It writes to each page, and frees none.

fn main() {
    loop {
        std::hint::black_box(vec![1_u8; 1 << 20].leak());
    }
}
