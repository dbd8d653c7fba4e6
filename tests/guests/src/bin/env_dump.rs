//! What can a program see and touch? Its environment and arguments; no file, no address.

use std::{env, fs, net};

fn main() {
    env::args().for_each(|arg| println!("arg {arg}"));
    env::vars().for_each(|(key, value)| println!("env {key}={value}"));
    println!("root {:?}", fs::read_dir("/").err().map(|e| e.kind()));
    println!("file {:?}", fs::read("/etc/passwd").err().map(|e| e.kind()));
    println!("tcp {:?}", net::TcpStream::connect("127.0.0.1:80").err().map(|e| e.kind()));
    println!("udp {:?}", net::UdpSocket::bind("127.0.0.1:0").err().map(|e| e.kind()));
    println!("dns {:?}", net::ToSocketAddrs::to_socket_addrs("localhost:80").err().map(|e| e.kind()));
}
