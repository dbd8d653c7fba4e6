//! Is a line seen while the program that printed it goes on? It then waits for an hour.

fn main() {
    println!("waiting");
    std::thread::sleep(std::time::Duration::from_secs(3600));
}
