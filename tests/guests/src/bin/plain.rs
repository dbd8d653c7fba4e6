//! Is a program without the SDK an app?

fn main() {
    println!("plain");
}
