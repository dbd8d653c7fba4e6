//! Is there a way out beside HTTP? What worked of looking up a name, TCP and UDP, outside a step and inside one.

use std::net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use relume::{Result, step};

#[relume::main]
fn main() -> Result<[Vec<String>; 2]> {
    Ok([what_worked(), step("look").run(|| anyhow::Ok(what_worked()))?])
}

fn what_worked() -> Vec<String> {
    let local = (Ipv4Addr::LOCALHOST, 0);
    let tried = [
        ("lookup", "localhost:80".to_socket_addrs().is_ok()),
        ("connect", TcpStream::connect((Ipv4Addr::LOCALHOST, 80)).is_ok()),
        ("listen", TcpListener::bind(local).is_ok()),
        ("udp", UdpSocket::bind(local).is_ok()),
    ];
    tried.into_iter().filter(|(_, worked)| *worked).map(|(what, _)| what.to_owned()).collect()
}
