//! Is a program that only waits, for an hour, stopped by the running time and by cancel?

fn main() {
    std::thread::sleep(std::time::Duration::from_secs(3600));
}
